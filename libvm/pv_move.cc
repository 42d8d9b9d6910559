#include "libvm/pv_move.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "engine/base/aligned_buffer.h"
#include "engine/base/zeroes.h"
#include "libvm/extents.h"
#include "libvm/group_log.h"
#include "libvm/groups.h"
#include "libvm/kept_metadata.h"
#include "libvm/pool_access.h"
#include "libvm/pool_lending.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

constexpr Sectors step{2048};  // 1 MiB
constexpr auto pause = std::chrono::milliseconds(5);
constexpr auto patience = std::chrono::seconds(5);

Extents sum_of(const std::vector<SegmentRow>& segments) {
    Extents sum(0);
    for (const SegmentRow& s : segments) sum += s.length;
    return sum;
}

class Move {
public:
    Move(Session& session, const MoveJob& job) : session_(session), job_(job) {}

    Result<bool> run(const OnMoved& on_moved) {
        auto left = TRY(left_to_move(session_, job_));
        const auto source = TRY(session_.catalog.lookup_pv(job_.source));
        const Extents total = sum_of(left);
        while (!left.empty()) {
            if (!TRY(find_move_job(session_, job_.id))) return false;
            TRY(move_piece(left.front()));
            left = TRY(left_to_move(session_, job_));
            if (!on_moved({source->path, total - std::min(sum_of(left), total), total}))
                return false;
        }
        return true;
    }

private:
    // Whoever has the pool; it may come into use, or out of it, at any time.
    Result<> move_piece(const SegmentRow& next) {
        for (const auto end = std::chrono::steady_clock::now() + patience;;) {
            const LvRow lv = TRY(owner(next.lv_id));
            if (lv.kind == LvKind::pool) {
                const PoolRow pool = TRY(session_.catalog.pool(lv.id));
                if (TRY(ask_if_served(session_.environment, pool,
                                      new_request(MovePieceRequest{job_.id}))))
                    return {};
            }
            auto lock = FileLock::try_exclusive(session_.environment.lock_path(lv.uuid));
            if (lock) return move_here(lv);
            if (lock.error().code != Errc::busy) return std::move(lock).error();
            if (std::chrono::steady_clock::now() > end)
                return Error(Errc::busy,
                             fmt::format("{}/{} is held by another command; tvpvmove goes on once "
                                         "that has ended",
                                         job_.group.name, lv.name));
            std::this_thread::sleep_for(pause);
        }
    }

    // With the lock of the volume.
    Result<> move_here(const LvRow& lv) {
        if (lv.kind == LvKind::pool) {
            TRY(check_not_lent(job_.group, TRY(session_.catalog.pool(lv.id))));
            if (TRY(session_.catalog.pending(lv.id)))
                return Error(Errc::busy, fmt::format("{}/{} has an operation half done; tvgck {} "
                                                     "tells more",
                                                     job_.group.name, lv.name, job_.group.name));
        }
        const auto lock = TRY(lock_piece(session_, job_.group));
        const auto piece = TRY(reserve_piece(session_, job_, lv.id));
        if (!piece) return {};
        TRY(copy(*piece));
        TRY(hand_over(session_, job_.group, *piece));
        return drop_reservations(session_, job_.group);
    }

    Result<LvRow> owner(std::int64_t id) {
        const auto spare = TRY(session_.catalog.spare(job_.group.id));
        if (spare && spare->id == id) return *spare;
        for (LvRow& kept : TRY(kept_metadata(session_.catalog, job_.group.id)))
            if (kept.id == id) return std::move(kept);
        return TRY(session_.catalog.pool(id)).lv;
    }

    struct Place {
        const PvOpener::Opened* device;
        Sector at;
    };
    Result<Place> place_of(const SegmentRow& segment) {
        const auto rows = TRY(session_.catalog.pvs(job_.group.id));
        const auto row = std::ranges::find(rows, segment.pv_id, &PvRow::id);
        ASSERT(row != rows.end());
        auto it = devices_.find(row->id);
        if (it == devices_.end())
            it = devices_
                     .emplace(row->id, TRY(open_pv(*session_.opener, *row,
                                                   session_.catalog.environment_uuid())))
                     .first;
        return Place{&it->second,
                     end_of(row->data_start + job_.group.extent_size * segment.pv_start.n)};
    }

    Result<> copy(const MovePiece& piece) {
        const Place from = TRY(place_of(piece.from));
        const Place to = TRY(place_of(piece.target));
        const Sectors length = job_.group.extent_size * piece.target.length.n;
        // Metadata and spare have their space ahead (C10).
        if (piece.from.role != SegmentRole::data) TRY(to.device->allocate(to.at, length));
        AlignedBuffer buffer(to_bytes(step).n);
        for (Sectors done(0); done < length; done += step) {
            const Sectors n = std::min(step, length - done);
            const auto bytes = buffer.first(to_bytes(n).n);
            TRY(read_now(*from.device->queue, from.at + done, bytes));
            if (all_zero(bytes)) TRY(zero_now(*to.device->queue, to.at + done, n));
            else TRY(write_now(*to.device->queue, to.at + done, bytes));
        }
        return flush_now(*to.device->queue);
    }

    Session& session_;
    const MoveJob& job_;
    std::map<std::int64_t, PvOpener::Opened> devices_;
};

// (2)
Result<FileLock> lock_moves(Session& session, const GroupRow& group) {
    auto lock = FileLock::try_exclusive(session.environment.lock_path(group.uuid + ".move"));
    if (!lock && lock.error().code == Errc::busy)
        return Error(Errc::busy,
                     fmt::format("another tvpvmove is at work in volume group {}", group.name));
    return lock;
}

Result<> end_job(Session& session, const MoveJob& job) {
    {
        auto transaction = TRY(session.catalog.begin());
        TRY(session.catalog.database().run("DELETE FROM job WHERE id = ?", job.id));
        TRY(std::move(transaction).commit());
    }
    const auto lock = TRY(lock_piece(session, job.group));
    TRY(drop_reservations(session, job.group));
    return sync_group_log(session, job.group);
}

// Before anything is moved.
Result<> check_room(Session& session, const MoveJob& job, const PvRow& source) {
    const Extents wanted = sum_of(TRY(left_to_move(session, job)));
    const auto pvs = TRY(session.catalog.pvs(job.group.id));
    const auto free = TRY(FreeExtents::of(pvs, TRY(session.catalog.segments(job.group.id))));
    Extents room(0);
    bool any = false;
    for (const PvRow& pv : pvs) {
        const bool target = job.targets.empty() || std::ranges::count(job.targets, pv.uuid) > 0;
        if (pv.id == source.id || !target) continue;
        any = true;
        room += free.on(pv.id);
    }
    if (wanted <= room || !any) return {};  // reserve_piece() says what is missing
    return Error(Errc::out_of_space,
                 fmt::format("{} extents of {} are to be moved, and {} are free on the physical "
                             "volumes they may go to: tvgextend {} adds more",
                             wanted, source.path, room, job.group.name));
}

}  // namespace

Result<MoveJob> begin_move(Session& session, const PvRow& source, const std::vector<PvRow>& targets,
                           const std::string& pool) {
    MoveJob wanted;
    wanted.group = TRY(session.catalog.group(source.vg_id));
    wanted.source = source.uuid;
    wanted.pool = pool;
    TRY(check_group_usable(session, wanted.group));
    for (const PvRow& pv : targets) wanted.targets.push_back(pv.uuid);
    for (const MoveJob& job : TRY(move_jobs(session))) {
        if (job.source != source.uuid) continue;
        if (job.targets == wanted.targets && job.pool == pool) return job;  // it was interrupted
        return Error(Errc::exists,
                     fmt::format("{} is being moved already, in another way: tvpvmove alone goes "
                                 "on, tvpvmove --abort ends it",
                                 source.path));
    }
    if (!pool.empty() && TRY(session.catalog.find_lv(wanted.group, pool)).kind != LvKind::pool) {
        return Error(
            Errc::invalid_argument,
            fmt::format("{}/{} has no extents of its own: name its pool", wanted.group.name, pool));
    }
    TRY(check_room(session, wanted, source));
    auto transaction = TRY(session.catalog.begin());
    TRY(session.catalog.database().run("INSERT INTO job(vg_id, kind, detail) VALUES(?, ?, ?)",
                                       wanted.group.id, "pvmove", detail_of(wanted)));
    wanted.id = session.catalog.database().last_id();
    TRY(std::move(transaction).commit());
    return wanted;
}

Result<bool> carry_on_move(Session& session, const MoveJob& job, const OnMoved& on_moved) {
    TRY(check_group_usable(session, job.group));
    const auto lock = TRY(lock_moves(session, job.group));
    auto done = Move(session, job).run(on_moved);
    if (!done && done.error().code == Errc::out_of_space) {
        TRY(end_job(session, job));  // it would never end; what was moved stays
        return std::move(done).error();
    }
    if (!TRY(std::move(done))) return false;
    TRY(end_job(session, job));
    return true;
}

Result<> abort_move(Session& session, const MoveJob& job) {
    return end_job(session, job);  // whoever works at it stops after its piece
}

}  // namespace thinvol
