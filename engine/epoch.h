// EpochTracker: tells when every request that was in flight at some moment has ended.
//
// Units       epochs, counted from 0
// Invariants  (C6) passed(barrier()) only once all that entered before the barrier have left
// Errors      none
// Threads     externally synchronised (one shard)
// Source      dm-bio-prison's deferred sets
#pragma once

#include <cstdint>
#include <deque>

#include "engine/base/assert.h"

namespace thinvol {

class EpochTracker {
public:
    std::uint64_t enter() {
        ++counts_.back();
        return first_ + counts_.size() - 1;
    }
    void leave(std::uint64_t epoch) {
        ASSERT(epoch >= first_);
        std::uint32_t& count = counts_[epoch - first_];
        ASSERT(count > 0);
        --count;
        retire();
    }
    // Ends the current epoch and returns its number.
    std::uint64_t barrier() {
        const std::uint64_t ended = first_ + counts_.size() - 1;
        counts_.push_back(0);
        retire();
        return ended;
    }
    bool passed(std::uint64_t epoch) const { return epoch < first_; }

private:
    void retire() {
        while (counts_.size() > 1 && counts_.front() == 0) {
            counts_.pop_front();
            ++first_;
        }
    }
    std::deque<std::uint32_t> counts_{0};
    std::uint64_t first_ = 0;
};

}  // namespace thinvol
