// PoolDevices: a pool's metadata and data devices, put together from its segments on physical
// volumes.
//
// Units       sectors
// Invariants  (1) the physical volumes stay locked (physical_volume.h) as long as this lives
//             (2) no lane uses its queues while what they stand on changes, or moves
// Errors      as open_pv
// Threads     one for each object; the ring's where one is given
// Source      LVM2's _tmeta and _tdata
#pragma once

#include <atomic>

#include "engine/lanes.h"
#include "engine/moving_queue.h"
#include "libvm/move_piece.h"

namespace thinvol {

class PoolDevices {
public:
    // `with_pending`: segments that a growing operation has added already count. `unflushed`: as in
    // FileOptions.
    static Result<std::unique_ptr<PoolDevices>> open(Session& session, const GroupRow& group,
                                                     const PoolRow& pool, bool with_pending,
                                                     Ring* ring, bool unflushed);
    // Once more, in the process that has them open already; to be read.
    static Result<std::unique_ptr<PoolDevices>> open_beside(Session& session, const GroupRow& group,
                                                            const PoolRow& pool);

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

    // The data device for a lane, on that thread's ring; stays as long as this object. busy while a
    // piece of it moves.
    Result<BlockQueue*> add_lane(Lanes& lanes, Ring* ring);

    // --- a piece that moves while it is used (served_move.h); one at a time
    // From here on it is written to both places; read from the old one.
    Result<> begin_move(Session& session, const GroupRow& group, const MovePiece& piece);
    MovingQueue* moving() { return moving_ ? moving_->queue.get() : nullptr; }
    LinearQueue& moving_in() { return *moving_->in; }
    // New requests go to one place, from here on.
    void end_move(bool moved);
    // After a drain of moving_in().
    void forget_move();
    // Counts what end_move() decided: who reads with devices of his own sees when to open them
    // anew. From any thread.
    std::uint64_t layout() const { return layout_; }

private:
    PoolDevices(const GroupRow& group, Ring* ring, bool unflushed);
    Result<> fill(Session& session, const GroupRow& group, const PoolRow& pool, bool with_pending);
    Result<BlockQueue*> pv(Session& session, std::int64_t vg_id, std::int64_t pv_id);
    Result<> reach(Session& session, const GroupRow& group, const SegmentRow& segment);
    Result<LinearSegment> placed(Session& session, const GroupRow& group, const SegmentRow& s);
    Result<> append(Session& session, const GroupRow& group, const PoolRow& pool, SegmentRole role,
                    bool with_pending, LinearQueue& queue);

    std::optional<UuidBytes> pool_;  // that its physical volumes are claimed for
    Sectors extent_size_;
    Ring* ring_;
    bool unflushed_;
    struct LaneQueues {
        Ring* ring;
        std::vector<std::unique_ptr<BlockQueue>> devices;
        std::unique_ptr<LinearQueue> data;
    };
    Result<> rebuild(LaneQueues& queues);
    void hold_lanes();
    void release_lanes();
    struct Pv {
        PvRow row;
        PvOpener::Opened opened;
    };
    std::map<std::int64_t, Pv> pvs_;
    struct Moving {
        LinearQueue* in = nullptr;
        Sector at{};
        LinearSegment from;
        LinearSegment to;
        std::unique_ptr<MovingQueue> queue;
    };
    std::optional<Moving> moving_;
    std::atomic<std::uint64_t> layout_ = 0;
    std::unique_ptr<LinearQueue> metadata_;  // destroyed before what they stand on
    std::unique_ptr<LinearQueue> data_;
    Lanes* lanes_ = nullptr;  // null: there are none
    std::vector<std::unique_ptr<LaneQueues>> lane_queues_;
};

}  // namespace thinvol
