// PoolDevices: a pool's metadata and data devices, put together from its segments on physical
// volumes.
//
// Units       sectors
// Invariants  the physical volumes stay locked (physical_volume.h) as long as this lives
// Errors      as open_pv
// Threads     one for each object; the ring's where one is given
// Source      LVM2's _tmeta and _tdata
#pragma once

#include "engine/linear_queue.h"
#include "libvm/session.h"

namespace thinvol {

class PoolDevices {
public:
    // `with_pending`: segments that a growing operation has added already count. `unflushed`: as in
    // FileOptions.
    static Result<std::unique_ptr<PoolDevices>> open(Session& session, const GroupRow& group,
                                                     const PoolRow& pool, bool with_pending,
                                                     Ring* ring, bool unflushed);

    BlockQueue& metadata() { return *metadata_; }
    BlockQueue& data() { return *data_; }
    // The extents of another volume of the group, with space ahead; stands on this object.
    Result<std::unique_ptr<LinearQueue>> beside(Session& session, const GroupRow& group,
                                                std::int64_t lv_id, SegmentRole role);
    // Segments the catalog has, and the devices do not have yet.
    Result<> add_segments(Session& session, const GroupRow& group, const PoolRow& pool);
    // Segments the devices have, and the catalog has no more: growing was undone.
    Result<> drop_segments(Session& session, const PoolRow& pool);
    // Space ahead for all of the metadata, so that a commit never meets a full file system (C10).
    Result<> allocate_metadata(Session& session, const GroupRow& group, const PoolRow& pool);
    std::uint64_t flushes() const;

private:
    PoolDevices() = default;
    Result<BlockQueue*> pv(Session& session, std::int64_t vg_id, std::int64_t pv_id);
    Result<> reach(Session& session, const GroupRow& group, const SegmentRow& segment);
    Result<> append(Session& session, const GroupRow& group, const PoolRow& pool, SegmentRole role,
                    bool with_pending, std::unique_ptr<LinearQueue>& queue, std::size_t& have);

    Ring* ring_ = nullptr;
    bool unflushed_ = false;
    struct Pv {
        PvRow row;
        PvOpener::Opened opened;
    };
    std::map<std::int64_t, Pv> pvs_;
    std::unique_ptr<LinearQueue> metadata_;  // destroyed before what they stand on
    std::unique_ptr<LinearQueue> data_;
    std::size_t metadata_segments_ = 0;
    std::size_t data_segments_ = 0;
};

}  // namespace thinvol
