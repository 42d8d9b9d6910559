// Oracle: what each sector of each volume may hold, by what was asked for and answered; stupid on
// purpose.
//
// Units       sectors of a volume; times are positions of the run's trace
// Invariants  (1) a sector holds the value of some write, zeroing or discard, or zeroes if there
//                 was none
//             (2) not one that ended before another began which is known to be in effect
// Errors      allowed() says why a value is not
// Threads     one
// Source      the contract C3 and C7 in ARCHITECTURE.md; dm-thin's discard semantics
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/units.h"

namespace thinvol {

inline constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

// The content of a sector: zeroes, or a stamp of the write that put it there.
using Generation =
    std::uint64_t;  // 0: zeroes; otherwise counts all writes of a run, so that it names one
void fill_stamp(std::span<std::byte> sector, std::uint64_t at, Generation generation);
// The generation in a sector of 512 bytes, if it is zeroes or one written to that place, whole.
std::optional<Generation> read_stamp(std::span<const std::byte> sector, std::uint64_t at);

class VolumeOracle {
public:
    // In the beginning there is zeroes, or `base`.
    explicit VolumeOracle(Sectors size, std::vector<Generation> base = {})
        : sectors_(size.n), base_(std::move(base)) {}
    Sectors size() const { return Sectors(sectors_.size()); }

    // A change to [at, at + n): returns its handle for ended(). One that fails never ends: it may
    // have happened or not.
    std::size_t begin(std::uint64_t at, std::uint64_t n, Generation generation, std::uint64_t now);
    void ended(std::size_t change, std::uint64_t now, bool durable);
    // A flush that began at `began` was answered: what ended before that is durable.
    void flushed(std::uint64_t began, std::uint64_t now) { flushes_.push_back({began, now}); }

    // Whether the sector may read as `generation`: in the running system, by a read between the two
    // times; or after a power cut.
    bool may_read(std::uint64_t sector, Generation generation, std::uint64_t began,
                  std::uint64_t now) const;
    bool may_survive(std::uint64_t sector, Generation generation, std::uint64_t cut) const;

    // What happened to a sector, for the message of a failed test.
    std::string history(std::uint64_t sector) const;

    // The history of a snapshot that was asked for at `began` and answered, at the latest, at
    // `now`.
    VolumeOracle snapshot(std::uint64_t began, std::uint64_t now) const;

private:
    struct Change {
        Generation generation;
        std::uint64_t began;
        std::uint64_t ended = never;
        std::uint64_t durable = never;  // known durable from then on, by itself
    };
    struct Flush {
        std::uint64_t began;
        std::uint64_t answered;
    };
    template <class InEffect>
    bool allowed(std::uint64_t sector, Generation generation, std::uint64_t until,
                 InEffect&& in_effect) const;

    Generation base(std::uint64_t sector) const {
        return sector < base_.size() ? base_[sector] : 0;
    }

    std::vector<std::vector<std::uint32_t>> sectors_;  // the changes to each, in order of beginning
    std::vector<Generation> base_;
    std::vector<Change> changes_;
    std::vector<Flush> flushes_;
};

}  // namespace thinvol
