// CrashImages: what a power cut at each position of a trace could leave on the devices.
//
// Units       positions of the trace; bytes of a write, whole sectors
// Invariants  (1) a write is surely there when it carried fua and completed, or a flush that was
//                 submitted after it completed has completed; any other may be there, or a part
//             (2) images that look alike have one identity
// Errors      none
// Threads     one
// Source      the kernel's dm-log-writes; ALICE's and BOB's crash states
#pragma once

#include <functional>
#include <vector>

#include "tests/support/seed.h"
#include "tests/support/sim_device.h"

namespace thinvol {

// Which of the writes that are not durable reach the medium.
enum class CrashPolicy { none, all, prefix, all_but_one, only_one, random, torn, device_order };
const char* name_of(CrashPolicy policy);
inline constexpr std::uint32_t all_devices = ~0U;

class CrashImages {
public:
    using Images = std::vector<std::vector<std::byte>>;
    // A part of a write that reached the medium.
    struct Piece {
        std::size_t write;
        std::size_t from;
        std::size_t to;
    };
    using Cut = std::vector<Piece>;

    CrashImages(const Trace& trace, Images initial);

    std::size_t position() const { return position_; }
    bool at_end() const { return position_ == trace_.events.size(); }
    void step();
    // To where the next step changes which images are possible: by then all is answered that is
    // answered before. False: at the end.
    bool step_to_boundary();
    // How often something was asked for or answered so far: with each what may be lost changes.
    std::uint64_t notes() const { return notes_; }
    // Writes that are not durable, in order of submission.
    std::size_t pending() const { return pending_.size(); }
    const Trace::Write& pending_write(std::size_t i) const {
        return trace_.writes[pending_[i].write];
    }
    // All of that write, or some of its bytes.
    Piece piece(std::size_t i) const {
        return {pending_[i].write, 0, pending_write(i).bytes.size()};
    }
    Piece piece(std::size_t i, std::size_t from, std::size_t to) const {
        return {pending_[i].write, from, to};
    }

    // `favoured`: of device_order, the device all of whose writes survive while the others lose
    // theirs.
    Cut choose(CrashPolicy policy, Random& random, std::uint32_t favoured = all_devices) const;
    // The images if power is cut now.
    Images cut(CrashPolicy policy, Random& random, std::uint32_t favoured = all_devices) const;
    // Those of a choice, in place: whoever looks at them puts back what it changes.
    void with(const Cut& cut, const std::function<void(Images&, std::uint64_t identity)>& look);

private:
    struct Pending {
        std::size_t write;
        bool completed = false;
        bool given_up = false;  // a flush failed: no later one vouches for it
    };
    void make_durable(std::size_t write);
    void note_flush(const Trace::Event& event);
    void apply(const Piece& piece);
    std::uint64_t sector_identity(std::size_t device, std::size_t sector) const;

    const Trace& trace_;
    Images images_;  // what is durable
    std::uint64_t identity_ = 0;
    std::vector<Pending> pending_;
    std::vector<std::vector<std::size_t>> covered_by_;  // flush number -> writes it makes durable
    std::size_t position_ = 0;
    std::uint64_t notes_ = 0;
};

}  // namespace thinvol
