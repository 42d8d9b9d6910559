#include "libvm/pool_devices.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinvol {

Result<std::unique_ptr<PoolDevices>> PoolDevices::open(Session& session, const GroupRow& group,
                                                       const PoolRow& pool, bool with_pending,
                                                       Ring* ring, bool unflushed) {
    std::unique_ptr<PoolDevices> devices(new PoolDevices(group, ring, unflushed));
    devices->pool_ = uuid_bytes(pool.lv.uuid);
    if (!devices->pool_)
        return Error(Errc::corrupt, fmt::format("catalog: pool {} has no UUID", pool.lv.name));
    TRY(devices->fill(session, group, pool, with_pending));
    return devices;
}

Result<std::unique_ptr<PoolDevices>> PoolDevices::open_beside(Session& session,
                                                              const GroupRow& group,
                                                              const PoolRow& pool) {
    std::unique_ptr<PoolDevices> devices(new PoolDevices(group, nullptr, false));
    TRY(devices->fill(session, group, pool, false));
    return devices;
}

PoolDevices::PoolDevices(const GroupRow& group, Ring* ring, bool unflushed)
    : extent_size_(group.extent_size),
      ring_(ring),
      unflushed_(unflushed),
      metadata_(std::make_unique<LinearQueue>(std::vector<LinearSegment>())),
      data_(std::make_unique<LinearQueue>(std::vector<LinearSegment>())) {}

Result<> PoolDevices::fill(Session& session, const GroupRow& group, const PoolRow& pool,
                           bool with_pending) {
    TRY(append(session, group, pool, SegmentRole::metadata, with_pending, *metadata_));
    return append(session, group, pool, SegmentRole::data, with_pending, *data_);
}

Result<BlockQueue*> PoolDevices::pv(Session& session, std::int64_t vg_id, std::int64_t pv_id) {
    if (const auto it = pvs_.find(pv_id); it != pvs_.end()) return it->second.opened.queue.get();
    const auto rows = TRY(session.catalog.pvs(vg_id));
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const PvRow& r) { return r.id == pv_id; });
    if (row == rows.end())
        return Error(Errc::corrupt, fmt::format("catalog: physical volume {} is missing", pv_id));
    auto opened =
        TRY(open_pv(*session.opener, *row, session.catalog.environment_uuid(), ring_, unflushed_));
    if (pool_ && opened.claim) TRY(opened.claim(*pool_));
    return pvs_.emplace(pv_id, Pv{*row, std::move(opened)}).first->second.opened.queue.get();
}

// A physical volume may have been resized since it was opened here.
Result<> PoolDevices::reach(Session& session, const GroupRow& group, const SegmentRow& segment) {
    Pv& pv = pvs_.at(segment.pv_id);
    const Extents end = (segment.pv_start + segment.length) - Extent(0);
    if (end <= pv.row.extents) return {};
    const auto row = TRY(session.catalog.lookup_pv(pv.row.uuid));
    if (!row || row->path != pv.row.path || end > row->extents)
        return Error(Errc::corrupt, fmt::format("catalog: group {}: extent {} is outside of {}",
                                                group.name, end, pv.row.path));
    pv.row = *row;
    if (pv.opened.grow) pv.opened.grow(row->size);
    return {};
}

Result<LinearSegment> PoolDevices::placed(Session& session, const GroupRow& group,
                                          const SegmentRow& s) {
    BlockQueue* device = TRY(pv(session, group.id, s.pv_id));
    TRY(reach(session, group, s));
    const Sectors data_start = pvs_.at(s.pv_id).row.data_start;
    return LinearSegment{device, end_of(data_start + group.extent_size * s.pv_start.n),
                         group.extent_size * s.length.n};
}

Result<> PoolDevices::append(Session& session, const GroupRow& group, const PoolRow& pool,
                             SegmentRole role, bool with_pending, LinearQueue& queue) {
    for (const SegmentRow& s : TRY(session.catalog.segments_of(pool.lv.id, role, with_pending))) {
        const Sector begin = end_of(group.extent_size * s.start.n);
        if (begin < end_of(queue.size())) continue;
        ASSERT(begin == end_of(queue.size()));
        queue.append(TRY(placed(session, group, s)));
    }
    return {};
}

Result<std::unique_ptr<LinearQueue>> PoolDevices::beside(Session& session, const GroupRow& group,
                                                         std::int64_t lv_id, SegmentRole role) {
    auto queue = std::make_unique<LinearQueue>(std::vector<LinearSegment>());
    for (const SegmentRow& s : TRY(session.catalog.segments_of(lv_id, role, false))) {
        BlockQueue* device = TRY(pv(session, group.id, s.pv_id));
        const Pv& under = pvs_.at(s.pv_id);
        const Sector start = end_of(under.row.data_start + group.extent_size * s.pv_start.n);
        TRY(under.opened.allocate(start, group.extent_size * s.length.n));
        queue->append({device, start, group.extent_size * s.length.n});
    }
    return queue;
}

Result<> PoolDevices::add_segments(Session& session, const GroupRow& group, const PoolRow& pool) {
    TRY(append(session, group, pool, SegmentRole::metadata, true, *metadata_));
    hold_lanes();
    auto appended = append(session, group, pool, SegmentRole::data, true, *data_);
    release_lanes();
    return appended;
}

Result<> PoolDevices::drop_segments(Session& session, const PoolRow& pool) {
    for (const SegmentRole role : {SegmentRole::metadata, SegmentRole::data}) {
        LinearQueue& queue = role == SegmentRole::data ? *data_ : *metadata_;
        Sectors size(0);
        for (const SegmentRow& s : TRY(session.catalog.segments_of(pool.lv.id, role, true)))
            size += extent_size_ * s.length.n;
        while (queue.size() > size) queue.drop_last();
    }
    return {};
}

Result<> PoolDevices::allocate_metadata(Session& session, const GroupRow& group,
                                        const PoolRow& pool) {
    for (const SegmentRow& s :
         TRY(session.catalog.segments_of(pool.lv.id, SegmentRole::metadata, true))) {
        const Pv& pv = pvs_.at(s.pv_id);
        TRY(pv.opened.allocate(end_of(pv.row.data_start + group.extent_size * s.pv_start.n),
                               group.extent_size * s.length.n));
    }
    return {};
}

// --- moving --------------------------------------------------------------------------------------

Result<> PoolDevices::begin_move(Session& session, const GroupRow& group, const MovePiece& piece) {
    ASSERT(!moving_);
    Moving moving;
    moving.in = piece.from.role == SegmentRole::data ? data_.get() : metadata_.get();
    moving.at = end_of(group.extent_size * piece.from.start.n);
    moving.to = TRY(placed(session, group, piece.target));
    moving.from = moving.in->part_at(moving.at, moving.to.length);
    ASSERT(moving.from.length == moving.to.length);
    const Sectors granule = moving.to.device->granule();
    if (granule > moving.in->granule()) {
        return Error(Errc::unsupported,
                     fmt::format("{} takes blocks of {} sectors at least, and the pool is in use "
                                 "with smaller ones: deactivate it, then tvpvmove goes on",
                                 pvs_.at(piece.target.pv_id).row.path, granule));
    }
    // Metadata have their space ahead (C10).
    if (piece.from.role != SegmentRole::data)
        TRY(pvs_.at(piece.target.pv_id).opened.allocate(moving.to.at, moving.to.length));
    moving.queue = std::make_unique<MovingQueue>(moving.from, moving.to);
    if (moving.in == data_.get()) hold_lanes();  // until forget_move()
    moving.in->replace(moving.at, {moving.queue.get(), Sector(0), moving.to.length});
    moving_ = std::move(moving);
    return {};
}

void PoolDevices::forget_move() {
    const bool data = moving_->in == data_.get();
    moving_.reset();
    if (data) release_lanes();
}

// --- lanes ---------------------------------------------------------------------------------------

Result<BlockQueue*> PoolDevices::add_lane(Lanes& lanes, Ring* ring) {
    if (moving_) return Error(Errc::busy, "a piece of the pool is being moved");
    auto queues = std::make_unique<LaneQueues>(
        LaneQueues{ring, {}, std::make_unique<LinearQueue>(std::vector<LinearSegment>())});
    TRY(rebuild(*queues));
    lanes_ = &lanes;
    lane_queues_.push_back(std::move(queues));
    return lane_queues_.back()->data.get();
}

Result<> PoolDevices::rebuild(LaneQueues& queues) {
    std::map<BlockQueue*, BlockQueue*> sibling_of;
    std::vector<std::unique_ptr<BlockQueue>> devices;
    for (const auto& [id, pv] : pvs_) {
        if (!pv.opened.sibling)
            return Error(Errc::unsupported, "the devices serve one thread only");
        devices.push_back(TRY(pv.opened.sibling(queues.ring)));
        sibling_of[pv.opened.queue.get()] = devices.back().get();
    }
    std::vector<LinearSegment> segments = data_->segments();
    for (LinearSegment& segment : segments) segment.device = sibling_of.at(segment.device);
    queues.data->assign(segments);
    queues.devices = std::move(devices);
    return {};
}

void PoolDevices::hold_lanes() {
    if (lanes_ != nullptr) lanes_->close_and_wait();
}

void PoolDevices::release_lanes() {
    if (lanes_ == nullptr) return;
    Result<> rebuilt;
    for (auto& queues : lane_queues_)
        if (rebuilt) rebuilt = rebuild(*queues);
    // Without devices of their own, lanes hand everything over.
    if (rebuilt) lanes_->open();
}

void PoolDevices::end_move(bool moved) {
    moving_->in->replace(moving_->at, moved ? moving_->to : moving_->from);
    if (moved) ++layout_;
}

std::uint64_t PoolDevices::flushes() const {
    std::uint64_t sum = 0;
    for (const auto& [id, pv] : pvs_) sum += pv.opened.flushes ? pv.opened.flushes() : 0;
    return sum;
}

}  // namespace thinvol
