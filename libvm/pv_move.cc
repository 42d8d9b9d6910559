#include "libvm/pv_move.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "libvm/extents.h"
#include "libvm/group_log.h"
#include "libvm/groups.h"
#include "libvm/pool_lending.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

using Json = nlohmann::json;

constexpr Sectors piece_least{65536};  // 32 MiB
constexpr Sectors step{2048};          // 1 MiB

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

// Memory aligned as O_DIRECT wants it.
class Buffer {
public:
    Buffer() : bytes_(static_cast<std::byte*>(::operator new(size, std::align_val_t(4096)))) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { ::operator delete(bytes_, std::align_val_t(4096)); }
    std::span<std::byte> first(Sectors n) { return {bytes_, to_bytes(n).n}; }

private:
    static constexpr std::size_t size = step.n * sector_bytes;
    std::byte* bytes_;
};

// Places taken for a piece that was never finished. Under the group's lock for moves.
Result<> drop_reservations(Session& session, const GroupRow& group) {
    auto transaction = TRY(session.catalog.begin());
    TRY(session.catalog.database().run(
        "DELETE FROM segment WHERE vg_id = ? AND lv_id IS NULL AND pending", group.id));
    return std::move(transaction).commit();
}

class Move {
public:
    Move(Session& session, const MoveJob& job, PvRow source)
        : session_(session), group_(job.group), job_(job), source_(std::move(source)) {}

    Result<bool> run(const OnMoved& on_moved) {
        TRY(drop_reservations(session_, group_));
        source_device_ =
            TRY(open_pv(*session_.opener, source_, session_.catalog.environment_uuid()));
        Extents left = TRY(to_move());
        const Extents total = left;
        while (left > Extents(0)) {
            if (!TRY(still_wanted())) return false;
            TRY(move_piece());
            left = TRY(to_move());
            if (!on_moved({source_.path, total - std::min(left, total), total})) return false;
        }
        return true;
    }

private:
    Result<bool> still_wanted() {
        return TRY(session_.catalog.database().number("SELECT 1 FROM job WHERE id = ?", job_.id))
            .has_value();
    }

    Result<std::vector<SegmentRow>> segments() {
        std::vector<SegmentRow> found;
        std::int64_t only = 0;
        if (!job_.pool.empty()) only = TRY(session_.catalog.find_lv(group_, job_.pool)).id;
        for (const SegmentRow& s : TRY(session_.catalog.segments(group_.id))) {
            if (s.pv_id == source_.id && s.lv_id != 0 && (only == 0 || only == s.lv_id))
                found.push_back(s);
        }
        return found;
    }
    Result<Extents> to_move() {
        Extents sum(0);
        for (const SegmentRow& s : TRY(segments())) sum += s.length;
        return sum;
    }

    Result<> move_piece() {
        SegmentRow from = TRY(segments()).front();
        const LvRow lv = TRY(owner(from.lv_id));
        const auto lock = TRY(lock_volume(lv));
        // As it is now that nobody else changes it.
        const auto now = TRY(segments());
        const auto same = std::ranges::find(now, from.id, &SegmentRow::id);
        if (same == now.end() || same->pending) return {};
        from = *same;
        const Extents most(std::max<std::uint64_t>(1, piece_least.n / group_.extent_size.n));
        const SegmentRow target = TRY(reserve(from, std::min(most, from.length)));
        TRY(copy(from, target));
        TRY(hand_over(from, target));
        return sync_group_log(session_, group_);
    }

    Result<LvRow> owner(std::int64_t id) {
        const auto spare = TRY(session_.catalog.spare(group_.id));
        if (spare && spare->id == id) return *spare;
        return TRY(session_.catalog.pool(id)).lv;
    }

    Result<FileLock> lock_volume(const LvRow& lv) {
        auto lock =
            FileLock::exclusive(session_.environment.lock_path(lv.uuid), std::chrono::seconds(1));
        if (!lock && lock.error().code == Errc::busy)
            return Error(Errc::busy,
                         fmt::format("{}/{} is in use: what is left of it is moved once it is not: "
                                     "tvchange -an {}, then tvpvmove goes on",
                                     group_.name, lv.name, group_.name));
        if (!lock || lv.kind == LvKind::spare) return lock;
        TRY(check_not_lent(group_, TRY(session_.catalog.pool(lv.id))));
        if (TRY(session_.catalog.pending(lv.id)))
            return Error(Errc::busy, fmt::format("{}/{} has an operation half done; tvgck {} "
                                                 "tells more",
                                                 group_.name, lv.name, group_.name));
        return lock;
    }

    // One run of extents on a target, marked as taken.
    Result<SegmentRow> reserve(const SegmentRow& from, Extents length) {
        Catalog& catalog = session_.catalog;
        auto transaction = TRY(catalog.begin());
        const auto pvs = TRY(catalog.pvs(group_.id));
        std::vector<std::int64_t> ids;
        for (const PvRow& pv : pvs) {
            const bool wanted =
                job_.targets.empty() || std::ranges::count(job_.targets, pv.uuid) > 0;
            if (pv.id != source_.id && wanted) ids.push_back(pv.id);
        }
        if (ids.empty())
            return Error(Errc::out_of_space,
                         fmt::format("volume group {} has no other physical volume to move to",
                                     group_.name));
        auto free = TRY(FreeExtents::of(pvs, TRY(catalog.segments(group_.id))));
        const Placement behind = TRY(place_before(from));
        const auto places =
            TRY(free.take(length, ids, behind.length > Extents(0) ? &behind : nullptr));
        SegmentRow target;
        target.vg_id = group_.id;
        target.role = from.role;
        target.length = places.front().length;
        target.pv_id = places.front().pv_id;
        target.pv_start = places.front().start;
        target.pending = true;
        target.id = TRY(catalog.add_segment(target));
        TRY(std::move(transaction).commit());
        return target;
    }

    // Where the volume's extents lie that come before: pieces are put behind each other.
    Result<Placement> place_before(const SegmentRow& from) {
        for (const SegmentRow& s :
             TRY(session_.catalog.segments_of(from.lv_id, from.role, false))) {
            if (s.start + s.length == from.start) return Placement{s.pv_id, s.pv_start, s.length};
        }
        return Placement{};
    }

    Result<const PvOpener::Opened*> target_device(const PvRow& pv) {
        auto it = targets_.find(pv.id);
        if (it == targets_.end())
            it = targets_
                     .emplace(pv.id, TRY(open_pv(*session_.opener, pv,
                                                 session_.catalog.environment_uuid())))
                     .first;
        return &it->second;
    }

    Result<> copy(const SegmentRow& from, const SegmentRow& target) {
        const auto pvs = TRY(session_.catalog.pvs(group_.id));
        const auto pv = std::ranges::find(pvs, target.pv_id, &PvRow::id);
        ASSERT(pv != pvs.end());
        const PvOpener::Opened* to = TRY(target_device(*pv));
        const auto place = [&](const PvRow& row, Extent extent) {
            return end_of(row.data_start + group_.extent_size * extent.n);
        };
        const Sectors length = group_.extent_size * target.length.n;
        const Sector source_at = place(source_, from.pv_start);
        const Sector target_at = place(*pv, target.pv_start);
        // Metadata and spare have their space ahead (C10).
        if (from.role != SegmentRole::data) TRY(to->allocate(target_at, length));
        Buffer buffer;
        for (Sectors done(0); done < length; done += step) {
            const Sectors n = std::min(step, length - done);
            const auto bytes = buffer.first(n);
            TRY(read_now(*source_device_->queue, source_at + done, bytes));
            const bool zero =
                std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte(0); });
            if (zero) TRY(zero_now(*to->queue, target_at + done, n));
            else TRY(write_now(*to->queue, target_at + done, bytes));
        }
        return flush_now(*to->queue);
    }

    // The moved part of the segment gets the new place, joined to what lies before it there.
    Result<> hand_over(const SegmentRow& from, const SegmentRow& target) {
        Catalog& catalog = session_.catalog;
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
        TRY(catalog.prune_log(group_.id));
        return std::move(transaction).commit();
    }

    Session& session_;
    GroupRow group_;
    const MoveJob& job_;
    PvRow source_;
    std::optional<PvOpener::Opened> source_device_;
    std::map<std::int64_t, PvOpener::Opened> targets_;
};

// (3)
Result<FileLock> lock_moves(Session& session, const GroupRow& group) {
    // Not at once: settle_group() looks in.
    auto lock = FileLock::exclusive(session.environment.lock_path(group.uuid + ".move"),
                                    std::chrono::seconds(1));
    if (!lock && lock.error().code == Errc::busy)
        return Error(Errc::busy,
                     fmt::format("another tvpvmove is at work in volume group {}", group.name));
    return lock;
}

// Before anything is moved. `only`: a volume's extents; 0: all.
Result<> check_room(Session& session, const GroupRow& group, const PvRow& source,
                    const std::vector<PvRow>& targets, std::int64_t only) {
    const auto pvs = TRY(session.catalog.pvs(group.id));
    const auto segments = TRY(session.catalog.segments(group.id));
    const auto free = TRY(FreeExtents::of(pvs, segments));
    Extents wanted(0);
    for (const SegmentRow& s : segments) {
        if (s.pv_id == source.id && s.lv_id != 0 && (only == 0 || only == s.lv_id))
            wanted += s.length;
    }
    Extents room(0);
    for (const PvRow& pv : pvs) {
        const bool target = targets.empty() || std::ranges::count(targets, pv.id, &PvRow::id) > 0;
        if (pv.id != source.id && target) room += free.on(pv.id);
    }
    if (wanted <= room) return {};
    return Error(Errc::out_of_space,
                 fmt::format("{} extents of {} are to be moved, and {} are free on the physical "
                             "volumes they may go to: tvgextend {} adds more",
                             wanted, source.path, room, group.name));
}

Result<> end_job(Session& session, const MoveJob& job) {
    {
        auto transaction = TRY(session.catalog.begin());
        TRY(session.catalog.database().run("DELETE FROM job WHERE id = ?", job.id));
        TRY(std::move(transaction).commit());
    }
    return sync_group_log(session, job.group);
}

}  // namespace

Result<MoveJob> begin_move(Session& session, const PvRow& source, const std::vector<PvRow>& targets,
                           const std::string& pool) {
    const GroupRow group = TRY(session.catalog.group(source.vg_id));
    TRY(check_group_usable(session, group));
    std::vector<std::string> wanted;
    for (const PvRow& pv : targets) wanted.push_back(pv.uuid);
    for (const MoveJob& job : TRY(moves(session))) {
        if (job.source != source.uuid) continue;
        if (job.targets == wanted && job.pool == pool) return job;  // it was interrupted
        return Error(Errc::exists,
                     fmt::format("{} is being moved already, in another way: tvpvmove alone goes "
                                 "on, tvpvmove --abort ends it",
                                 source.path));
    }
    Json detail{{"source", source.uuid}, {"targets", wanted}};
    std::int64_t only = 0;
    if (!pool.empty()) {
        const LvRow lv = TRY(session.catalog.find_lv(group, pool));
        if (lv.kind != LvKind::pool)
            return Error(
                Errc::invalid_argument,
                fmt::format("{}/{} has no extents of its own: name its pool", group.name, pool));
        detail["pool"] = pool;
        only = lv.id;
    }
    TRY(check_room(session, group, source, targets, only));
    auto transaction = TRY(session.catalog.begin());
    TRY(session.catalog.database().run("INSERT INTO job(vg_id, kind, detail) VALUES(?, ?, ?)",
                                       group.id, "pvmove", detail.dump()));
    const std::int64_t id = session.catalog.database().last_id();
    TRY(std::move(transaction).commit());
    return parse_job(id, group, detail.dump());
}

Result<std::vector<MoveJob>> moves(Session& session) {
    Statement query = TRY(session.catalog.database().prepare(
        "SELECT id, vg_id, detail FROM job WHERE kind = 'pvmove' ORDER BY id"));
    std::vector<MoveJob> jobs;
    while (TRY(query.step())) {
        GroupRow group = TRY(session.catalog.group(query.integer(1)));
        jobs.push_back(TRY(parse_job(query.integer(0), std::move(group), query.text(2))));
    }
    return jobs;
}

Result<bool> carry_on_move(Session& session, const MoveJob& job, const OnMoved& on_moved) {
    TRY(check_group_usable(session, job.group));
    const auto lock = TRY(lock_moves(session, job.group));
    const auto source = TRY(session.catalog.lookup_pv(job.source));
    if (!source) {  // it has left the group: nothing is on it
        TRY(end_job(session, job));
        return true;
    }
    const auto done = Move(session, job, *source).run(on_moved);
    if (!done && done.error().code == Errc::out_of_space) {
        // It would never end; what was moved stays.
        TRY(end_job(session, job));
        return done.error();
    }
    if (!TRY(Result<bool>(done))) return false;
    TRY(end_job(session, job));
    return true;
}

Result<> abort_move(Session& session, const MoveJob& job) {
    TRY(end_job(session, job));  // whoever works at it stops after its piece
    const auto lock = FileLock::exclusive(session.environment.lock_path(job.group.uuid + ".move"),
                                          std::chrono::seconds(10));
    if (!lock) return lock.error();
    return drop_reservations(session, job.group);
}

Result<> drop_stale_reservations(Session& session, const GroupRow& group) {
    const auto any = TRY(session.catalog.database().number(
        "SELECT 1 FROM segment WHERE vg_id = ? AND lv_id IS NULL AND pending", group.id));
    if (!any) return {};
    const auto lock = FileLock::try_exclusive(session.environment.lock_path(group.uuid + ".move"));
    if (!lock && lock.error().code == Errc::busy) return {};
    if (!lock) return lock.error();
    return drop_reservations(session, group);
}

}  // namespace thinvol
