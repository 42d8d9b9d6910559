// LinearQueue: a device made of segments of other devices, one after the other.
//
// Units       sectors
// Invariants  (1) segments are added and dropped at the end only, and keep their place
//             (2) a flush reaches every device under it
// Errors      as the devices under it
// Threads     that of the devices under it
// Source      the kernel's dm-linear
#pragma once

#include <memory>
#include <vector>

#include "engine/block_queue.h"

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
    // Drops the last segment, to which no request was ever made.
    void drop_last();
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
    const Placed& placed_at(Sector at) const;
    bool submit_split(Request& request);
    bool submit_flush(Request& request);
    bool launch(std::unique_ptr<Split> split);
    void forget(const Split& split);

    std::vector<Placed> segments_;
    std::vector<BlockQueue*> devices_;  // each once
    Sectors size_{};
    Sectors granule_{1};
    std::vector<std::unique_ptr<Split>> splits_;  // in flight
};

}  // namespace thinvol
