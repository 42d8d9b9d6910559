#include "libvm/move_piece.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "libvm/extents.h"
#include "libvm/group_log.h"

namespace thinvol {
namespace {

using Json = nlohmann::json;

constexpr Sectors piece_most{65536};  // 32 MiB

Result<MoveJob> parse_job(std::int64_t id, GroupRow group, const std::string& detail) {
    const Json j = Json::parse(detail, nullptr, false);
    MoveJob job{id, std::move(group), "", {}, ""};
    if (!j.is_object() || !j.contains("source"))
        return Error(Errc::corrupt, fmt::format("catalog: job {} does not parse", id));
    job.source = j.value("source", "");
    job.pool = j.value("pool", "");
    for (const Json& target : j.value("targets", Json::array()))
        if (target.is_string()) job.targets.push_back(target.get<std::string>());
    return job;
}

// Where the volume's extents lie that come before: pieces are put behind each other.
Result<Placement> place_before(Catalog& catalog, const SegmentRow& from) {
    for (const SegmentRow& s : TRY(catalog.segments_of(from.lv_id, from.role, false))) {
        if (s.start + s.length == from.start) return Placement{s.pv_id, s.pv_start, s.length};
    }
    return Placement{};
}

// One run of extents on a target, marked as taken.
Result<SegmentRow> reserve(Catalog& catalog, const MoveJob& job, const SegmentRow& from,
                           Extents length) {
    const auto pvs = TRY(catalog.pvs(job.group.id));
    std::vector<std::int64_t> ids;
    for (const PvRow& pv : pvs) {
        const bool wanted = job.targets.empty() || std::ranges::count(job.targets, pv.uuid) > 0;
        if (pv.id != from.pv_id && wanted) ids.push_back(pv.id);
    }
    if (ids.empty())
        return Error(
            Errc::out_of_space,
            fmt::format("volume group {} has no other physical volume to move to", job.group.name));
    auto free = TRY(FreeExtents::of(pvs, TRY(catalog.segments(job.group.id))));
    const Placement behind = TRY(place_before(catalog, from));
    const auto places = TRY(free.take(length, ids, behind.length > Extents(0) ? &behind : nullptr));
    SegmentRow target;
    target.vg_id = job.group.id;
    target.role = from.role;
    target.length = places.front().length;
    target.pv_id = places.front().pv_id;
    target.pv_start = places.front().start;
    target.pending = true;
    target.id = TRY(catalog.add_segment(target));
    return target;
}

Result<bool> any_reservation(Session& session, const GroupRow& group) {
    const auto any = TRY(session.catalog.database().number(
        "SELECT 1 FROM segment WHERE vg_id = ? AND lv_id IS NULL AND pending", group.id));
    return any.has_value();
}

std::string piece_lock(const Session& session, const GroupRow& group) {
    return session.environment.lock_path(group.uuid + ".piece");
}

}  // namespace

Result<std::vector<MoveJob>> move_jobs(Session& session) {
    Statement query = TRY(session.catalog.database().prepare(
        "SELECT id, vg_id, detail FROM job WHERE kind = 'pvmove' ORDER BY id"));
    std::vector<MoveJob> jobs;
    while (TRY(query.step())) {
        GroupRow group = TRY(session.catalog.group(query.integer(1)));
        jobs.push_back(TRY(parse_job(query.integer(0), std::move(group), query.text(2))));
    }
    return jobs;
}

Result<std::optional<MoveJob>> find_move_job(Session& session, std::int64_t id) {
    for (MoveJob& job : TRY(move_jobs(session)))
        if (job.id == id) return std::move(job);
    return std::optional<MoveJob>();
}

std::string detail_of(const MoveJob& job) {
    Json detail{{"source", job.source}, {"targets", job.targets}};
    if (!job.pool.empty()) detail["pool"] = job.pool;
    return detail.dump();
}

Result<std::vector<SegmentRow>> left_to_move(Session& session, const MoveJob& job,
                                             std::int64_t lv_id) {
    std::vector<SegmentRow> found;
    const auto source = TRY(session.catalog.lookup_pv(job.source));
    if (!source) return found;  // it has left the group: nothing is on it
    std::int64_t only = 0;
    if (!job.pool.empty()) only = TRY(session.catalog.find_lv(job.group, job.pool)).id;
    for (const SegmentRow& s : TRY(session.catalog.segments(job.group.id))) {
        if (s.pv_id == source->id && s.lv_id != 0 && (only == 0 || only == s.lv_id) &&
            (lv_id == 0 || lv_id == s.lv_id))
            found.push_back(s);
    }
    return found;
}

Result<FileLock> lock_piece(Session& session, const GroupRow& group) {
    auto lock = FileLock::exclusive(piece_lock(session, group), std::chrono::seconds(60));
    if (!lock && lock.error().code == Errc::busy)
        return Error(Errc::busy, fmt::format("a piece of volume group {} has been under way for a "
                                             "minute: a device of it hangs, or is very slow",
                                             group.name));
    return lock;
}

Result<std::optional<MovePiece>> reserve_piece(Session& session, const MoveJob& job,
                                               std::int64_t lv_id) {
    TRY(drop_reservations(session, job.group));
    auto transaction = TRY(session.catalog.begin());
    if (!TRY(find_move_job(session, job.id))) return std::optional<MovePiece>();
    const auto left = TRY(left_to_move(session, job, lv_id));
    if (left.empty() || left.front().pending) return std::optional<MovePiece>();
    MovePiece piece{left.front(), {}};
    const Extents most(std::max<std::uint64_t>(1, piece_most.n / job.group.extent_size.n));
    piece.target =
        TRY(reserve(session.catalog, job, piece.from, std::min(most, piece.from.length)));
    TRY(std::move(transaction).commit());
    return std::optional(std::move(piece));
}

// The part of the segment that moved is joined to what lies before it on its new place.
Result<> hand_over(Session& session, const GroupRow& group, const MovePiece& piece) {
    Catalog& catalog = session.catalog;
    const SegmentRow& from = piece.from;
    const SegmentRow& target = piece.target;
    auto transaction = TRY(catalog.begin());
    TRY(catalog.remove_segment(target.id));
    TRY(catalog.remove_segment(from.id));
    SegmentRow moved = from;
    moved.length = target.length;
    moved.pv_id = target.pv_id;
    moved.pv_start = target.pv_start;
    for (const SegmentRow& s : TRY(catalog.segments_of(from.lv_id, from.role, false))) {
        if (s.start + s.length != moved.start || s.pv_id != moved.pv_id ||
            s.pv_start + s.length != moved.pv_start)
            continue;
        TRY(catalog.remove_segment(s.id));
        moved.start = s.start;
        moved.pv_start = s.pv_start;
        moved.length = s.length + moved.length;
    }
    TRY(catalog.add_segment(moved));
    if (from.length > target.length) {
        SegmentRow rest = from;
        rest.start = from.start + target.length;
        rest.pv_start = from.pv_start + target.length;
        rest.length = from.length - target.length;
        TRY(catalog.add_segment(rest));
    }
    SegmentRow given_up = target;
    given_up.pv_id = from.pv_id;
    given_up.pv_start = from.pv_start;
    TRY(catalog.add_segment(given_up));
    TRY(catalog.prune_log(group.id));
    return std::move(transaction).commit();
}

Result<> drop_reservations(Session& session, const GroupRow& group) {
    if (!TRY(any_reservation(session, group))) return {};
    TRY(sync_group_log(session, group));  // (2)
    auto transaction = TRY(session.catalog.begin());
    TRY(session.catalog.database().run(
        "DELETE FROM segment WHERE vg_id = ? AND lv_id IS NULL AND pending", group.id));
    TRY(session.catalog.prune_log(group.id));
    return std::move(transaction).commit();
}

Result<> drop_stale_reservations(Session& session, const GroupRow& group) {
    if (!TRY(any_reservation(session, group))) return {};
    const auto lock = FileLock::try_exclusive(piece_lock(session, group));
    if (!lock && lock.error().code == Errc::busy) return {};
    if (!lock) return lock.error();
    return drop_reservations(session, group);
}

}  // namespace thinvol
