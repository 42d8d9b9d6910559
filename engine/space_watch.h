// SpaceWatch: tells once when a device of a pool passes its low water mark or a fill level.
//
// Units       blocks of the device; percent
// Invariants  look() costs two comparisons while nothing is passed
// Errors      none
// Threads     the pool's
// Source      dm-thin.c check_low_water_mark()
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace thinvol {

class SpaceWatch {
public:
    struct Passed {
        bool low_water = false;
        unsigned level = 0;  // the highest one passed; 0: none
        unsigned from = 0;   // the highest one passed before
    };

    void set(std::uint64_t low_water, std::vector<unsigned> levels) {
        low_water_ = low_water;
        levels_ = std::move(levels);
        std::sort(levels_.begin(), levels_.end());
        above_ = below_ = 0;
    }

    Passed look(std::uint64_t used, std::uint64_t size) {
        if (size == size_ && used >= below_ && used < above_) return {};
        size_ = size;
        Passed passed;
        const bool low = size - used <= low_water_;
        passed.low_water = low && !is_low_;
        is_low_ = low;
        below_ = low ? size - std::min(size, low_water_) : 0;
        above_ = low ? size + 1 : size - std::min(size, low_water_);
        unsigned level = 0;
        for (const unsigned percent : levels_) {
            const std::uint64_t at = (size * percent + 99) / 100;  // blocks: at least that much
            if (used >= at) level = percent, below_ = std::max(below_, at);
            else above_ = std::min(above_, at);
        }
        if (level > level_) passed.level = level, passed.from = level_;
        level_ = level;
        return passed;
    }

private:
    std::uint64_t low_water_ = 0;
    std::vector<unsigned> levels_;
    std::uint64_t size_ = 0;
    std::uint64_t below_ = 0;  // nothing can have been passed within [below_, above_)
    std::uint64_t above_ = 0;
    bool is_low_ = false;
    unsigned level_ = 0;
};

}  // namespace thinvol
