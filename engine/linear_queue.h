// LinearQueue: a device made of segments of other devices, one after the other.
//
// Units       sectors
// Invariants  (1) segments are added and dropped at the end only; one that is replaced keeps its
//                 place and length
//             (2) a flush reaches every device under it
//             (3) drain() ends when every request that was made before it has ended
// Errors      as the devices under it
// Threads     that of the devices under it
// Source      the kernel's dm-linear
#pragma once

#include <memory>
#include <vector>

#include "engine/block_queue.h"
#include "engine/epoch.h"

namespace thinvol {

struct LinearSegment {
    BlockQueue* device;
    Sector at;  // on that device
    Sectors length;
};

class LinearQueue : public BlockQueue {
public:
    explicit LinearQueue(const std::vector<LinearSegment>& segments);
    ~LinearQueue() override;

    void append(const LinearSegment& segment);
    // In place of those it has. No request is in flight.
    void assign(const std::vector<LinearSegment>& segments);
    // Drops the last segment, to which no request was ever made.
    void drop_last();
    // What is asked of [at, at + segment.length) from here on goes to that segment. The device
    // that had it is to stay until a drain() has ended.
    void replace(Sector at, const LinearSegment& segment);
    std::vector<LinearSegment> segments() const;
    // The part of a segment that begins there; `most` long, or up to its end.
    LinearSegment part_at(Sector at, Sectors most) const;

    struct Drain {  // stays put until done() has run, within poll()
        Result<> outcome{};
        void (*done)(Drain&) = nullptr;
        void* owner = nullptr;
        std::uint64_t epoch = 0;
    };
    void drain(Drain& drain);

    Sectors size() const override { return size_; }
    Sectors granule() const override { return granule_; }
    bool submit(Request& request) override;
    Sectors zeroes_at(Sector at, Sectors most) override;
    void poll(bool wait) override;
    std::size_t in_flight() const override;

private:
    struct Placed {
        Sector begin;  // in this device
        LinearSegment segment;
    };
    struct Split;
    struct Whole;
    std::size_t index_at(Sector at) const;
    const Placed& placed_at(Sector at) const { return segments_[index_at(at)]; }
    bool pass_on(BlockQueue& device, Request& request);
    bool submit_split(Request& request);
    bool submit_flush(Request& request);
    bool launch(std::unique_ptr<Split> split);
    void forget(const Split& split);
    void end_drains();
    void cut_at(Sector at);
    void join_at(Sector at);
    void list_devices();

    std::vector<Placed> segments_;
    std::vector<BlockQueue*> devices_;  // each once
    std::vector<BlockQueue*> leaving_;  // have requests in flight, and get no more
    Sectors size_{};
    Sectors granule_{1};
    std::vector<std::unique_ptr<Split>> splits_;  // in flight
    EpochTracker epochs_;
    std::vector<std::unique_ptr<Whole>> wholes_;
    std::vector<Whole*> free_wholes_;
    std::vector<Drain*> drains_;
};

}  // namespace thinvol
