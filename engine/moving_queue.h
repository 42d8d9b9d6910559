// MovingQueue: a range on its way from one device to another, in use all the while.
//
// Writes go to both places. Step by step the owner has it copy what was written before; a write to
// the part that is being copied is held until that is done. Where the range is read, now and after
// a crash, is not decided here: the owner may change that once every step has succeeded, both
// places were flushed after the last of them, and settle() has been called; from then on both
// places are the same to whoever reads what was acknowledged, until the owner has decided.
//
// Units       sectors, from the begin of the range
// Invariants  (1) a part is copied while no write to it is in flight
//             (2) a flush reaches both devices
//             (3) reads come from the old place
//             (4) after settle() nothing is acknowledged that the new place does not have
// Errors      as the devices; before settle() those of the new place end only the move: missed()
// Threads     that of the devices under it
// Source      the kernel's dm-mirror and dm-kcopyd
#pragma once

#include <memory>
#include <vector>

#include "engine/linear_queue.h"

namespace thinvol {

class MovingQueue : public BlockQueue {
public:
    // One after the other; stays put until done() has run.
    struct Step {
        Sector at;
        std::span<std::byte> buffer;  // as long as the part, aligned as the devices want it
        Result<> outcome{};
        void (*done)(Step&) = nullptr;
        void* owner = nullptr;
    };

    MovingQueue(const LinearSegment& from, const LinearSegment& to);
    ~MovingQueue() override;

    void copy(Step& step);
    // Why the new place is not the same as the old one, if it is not.
    const Result<>& missed() const { return missed_; }
    void settle();

    Sectors size() const override { return from_.length; }
    Sectors granule() const override { return granule_; }
    bool submit(Request& request) override;
    void poll(bool wait) override;
    std::size_t in_flight() const override;

private:
    struct Pair;
    enum class State { idle, draining, reading, copied, writing, written };
    bool submit_pair(Request& request);
    void advance();
    void start_part(Op op);
    void end_step();
    bool overlaps_step(Sector at, Sectors length) const;
    bool drained() const;

    LinearSegment from_;
    LinearSegment to_;
    Sectors granule_;
    bool settled_ = false;
    Result<> missed_;
    std::vector<std::unique_ptr<Pair>> pairs_;  // in flight
    State state_ = State::idle;
    Step* step_ = nullptr;
    Request part_;  // of the step
    iovec part_data_{};
    std::vector<Request*> held_;
};

}  // namespace thinvol
