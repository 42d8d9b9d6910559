// MetadataSnapshotQueue: a metadata device as its metadata snapshot (the held root) has it: whoever
// reads the volumes' trees sees those of the snapshot, which cannot change.
//
// Units       sectors
// Invariants  (1) its superblock has the snapshot's trees, transaction id and clock, with the live
//                 space maps: of these only the sizes mean anything
//             (2) reads only
// Errors      not_found: the device has no metadata snapshot; corrupt; io_error
// Threads     as the device's
// Source      drivers/md/dm-thin-metadata.c, __reserve_metadata_snap
#pragma once

#include <array>
#include <memory>

#include "engine/block_queue.h"
#include "engine/format.h"

namespace thinvol {

class MetadataSnapshotQueue : public BlockQueue {
public:
    // The device outlives it.
    static Result<std::unique_ptr<MetadataSnapshotQueue>> open(BlockQueue& device);

    Sectors size() const override { return device_.size(); }
    Sectors granule() const override { return device_.granule(); }
    bool submit(Request& request) override;
    void poll(bool wait) override { device_.poll(wait); }
    std::size_t in_flight() const override { return device_.in_flight(); }

private:
    explicit MetadataSnapshotQueue(BlockQueue& device) : device_(device) {}

    BlockQueue& device_;
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> superblock_{};
};

}  // namespace thinvol
