// MemoryQueue: a device in memory that does everything on the spot and never fails.
//
// Units       sectors
// Invariants  none beyond BlockQueue's
// Errors      only out-of-range requests
// Threads     one
// Source      none
#pragma once

#include <vector>

#include "engine/block_queue.h"

namespace thinvol {

class MemoryQueue : public BlockQueue {
public:
    explicit MemoryQueue(Sectors size) : bytes_(to_bytes(size).n) {}
    Sectors size() const override { return to_sectors(Bytes(bytes_.size())); }
    Sectors granule() const override { return Sectors(1); }
    bool submit(Request& request) override;
    void poll(bool) override {}
    std::size_t in_flight() const override { return 0; }

    std::vector<std::byte>& bytes() { return bytes_; }
    void grow(Sectors size) { bytes_.resize(to_bytes(size).n); }

private:
    std::vector<std::byte> bytes_;
};

}  // namespace thinvol
