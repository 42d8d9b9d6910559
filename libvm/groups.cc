#include "libvm/groups.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/extents.h"
#include "libvm/group_log.h"
#include "libvm/move_piece.h"
#include "libvm/names.h"
#include "libvm/pool_engine.h"
#include "libvm/pool_lending.h"
#include "libvm/reconcile.h"
#include "libvm/spare.h"

namespace thinvol {
namespace {

Result<> check_extent_size(Sectors size) {
    const bool multiple = size.n > 0 && size.n % 256 == 0;  // 128 KiB
    if (multiple && size <= Sectors(1ULL << 30)) return {};
    return Error(Errc::invalid_argument,
                 fmt::format("physical extent size must be a multiple of 128 KiB, {} is not",
                             to_bytes(size)));
}

// Makes them physical volumes of the group, which is made with them where it has no id yet; `logs`
// of those it has keep its log. They stay locked until the catalog knows them.
Result<> add_pvs(Session& session, GroupRow& group, const std::vector<PvCandidate>& candidates,
                 std::size_t logs, GroupResult& result) {
    std::vector<PreparedPv> prepared;
    for (const PvCandidate& candidate : candidates) {
        prepared.push_back(TRY(prepare_pv(session, candidate, group, logs++ < log_copies)));
    }
    auto transaction = TRY(session.catalog.begin());
    if (group.id == 0) group.id = TRY(session.catalog.add_group(group));
    for (PreparedPv& p : prepared) {
        p.row.vg_id = group.id;
        TRY(session.catalog.add_pv(p.row));
        result.prepared.push_back(p.row.path);
    }
    return std::move(transaction).commit();
}

// The group's log is a copy: without it the operation has still happened.
void sync_log(Session& session, const GroupRow& group, GroupResult& result) {
    if (auto synced = sync_group_log(session, group); !synced)
        result.warnings.push_back(synced.error().text);
}

// Best effort: a label that stays is recognised as a leftover, that of a missing one too.
void wipe(Session& session, const PvRow& pv, GroupResult& result) {
    if (const auto wiped = wipe_pv(session, pv); !wiped && wiped.error().code != Errc::not_found)
        result.warnings.push_back(
            fmt::format("the label on {} was not wiped: {}", pv.path, wiped.error().text));
}

// Nobody is at it, and it is still unfinished now that nobody is.
Result<bool> left_alone(Session& session, const PoolRow& pool) {
    const auto lock = FileLock::try_exclusive(session.environment.lock_path(pool.lv.uuid));
    if (!lock && lock.error().code == Errc::busy) return false;
    if (!lock) return lock.error();
    for (const PoolRow& row : TRY(session.catalog.unfinished_pools(pool.lv.vg_id))) {
        if (row.lv.id == pool.lv.id) return true;
    }
    return false;
}

}  // namespace

Result<GroupResult> create_group(Session& session, const NewGroup& wanted,
                                 const Confirm& overwrite) {
    TRY(check_group_name(wanted.name));
    TRY(check_extent_size(wanted.extent_size));
    if (wanted.pv_paths.empty())
        return Error(Errc::invalid_argument, "a volume group needs a physical volume");
    if (session.catalog.find_group(wanted.name))
        return Error(Errc::exists,
                     fmt::format("A volume group called {} already exists.", wanted.name));
    const auto candidates =
        TRY(examine_pvs(session, wanted.pv_paths, wanted.extent_size, overwrite));
    GroupResult result;
    GroupRow group{0, new_uuid(), wanted.name, wanted.extent_size, session.now()};
    TRY(add_pvs(session, group, candidates, 0, result));
    sync_log(session, group, result);
    return result;
}

Result<GroupResult> extend_group(Session& session, const GroupRow& group,
                                 const std::vector<std::string>& pv_paths,
                                 const Confirm& overwrite) {
    TRY(check_group_usable(session, group));
    const auto candidates = TRY(examine_pvs(session, pv_paths, group.extent_size, overwrite));
    const auto present = TRY(session.catalog.pvs(group.id));
    const auto logs =
        std::count_if(present.begin(), present.end(), [](const PvRow& pv) { return pv.keeps_log; });
    GroupResult result;
    GroupRow row = group;
    TRY(add_pvs(session, row, candidates, static_cast<std::size_t>(logs), result));
    sync_log(session, group, result);
    return result;
}

Result<GroupResult> reduce_group(Session& session, const GroupRow& group,
                                 const std::vector<PvRow>& leaving) {
    TRY(check_group_usable(session, group));
    GroupResult result;
    auto transaction = TRY(session.catalog.begin());
    const auto pvs = TRY(session.catalog.pvs(group.id));
    const auto segments = TRY(session.catalog.segments(group.id));
    const auto leaves = [&](const PvRow& pv) {
        return std::any_of(leaving.begin(), leaving.end(),
                           [&](const PvRow& l) { return l.id == pv.id; });
    };
    if (std::all_of(pvs.begin(), pvs.end(), leaves)) {
        return Error(
            Errc::invalid_argument,
            fmt::format("Can't remove final physical volume \"{}\" from volume group \"{}\"",
                        leaving.front().path, group.name));
    }
    for (const PvRow& pv : leaving) {
        for (const SegmentRow& s : segments) {
            if (s.pv_id != pv.id) continue;
            if (s.role != SegmentRole::log)
                return Error(Errc::busy,
                             fmt::format("Physical volume \"{}\" still in use", pv.path));
            TRY(session.catalog.remove_segment(s.id));
        }
        TRY(session.catalog.remove_pv(pv.id));
    }
    // Others take over the log.
    auto staying = TRY(session.catalog.pvs(group.id));
    auto logs = static_cast<std::size_t>(std::count_if(
        staying.begin(), staying.end(), [](const PvRow& pv) { return pv.keeps_log; }));
    for (const PvRow& pv : staying) {
        if (!pv.keeps_log && logs < log_copies) {
            TRY(session.catalog.set_keeps_log(pv.id));
            ++logs;
        }
    }
    TRY(std::move(transaction).commit());
    sync_log(session, group, result);
    for (const PvRow& pv : leaving) wipe(session, pv, result);
    return result;
}

Result<GroupResult> remove_group(Session& session, const GroupRow& group) {
    TRY(check_group_usable(session, group));
    GroupResult result;
    auto transaction = TRY(session.catalog.begin());
    if (!TRY(session.catalog.pools(group.id)).empty()) {
        return Error(Errc::busy,
                     fmt::format("Volume group \"{}\" still contains logical volumes", group.name));
    }
    const auto pvs = TRY(session.catalog.pvs(group.id));
    TRY(drop_unneeded_spare(session.catalog, group));
    TRY(session.catalog.remove_group(group.id));
    TRY(std::move(transaction).commit());
    for (const PvRow& pv : pvs) wipe(session, pv, result);
    return result;
}

Result<GroupResult> rename_group(Session& session, const GroupRow& group, const std::string& name) {
    TRY(check_group_name(name));
    TRY(check_group_usable(session, group));
    GroupResult result;
    auto transaction = TRY(session.catalog.begin());
    if (session.catalog.find_group(name))
        return Error(Errc::exists, fmt::format("A volume group called {} already exists.", name));
    for (const PoolRow& pool : TRY(session.catalog.pools(group.id)))
        TRY(check_not_lent(group, pool));
    TRY(session.catalog.rename_group(group.id, name));
    TRY(std::move(transaction).commit());
    sync_log(session, group, result);
    return result;
}

Result<> settle_group(Session& session, const GroupRow& group) {
    if (session.environment.rehearsal) return {};
    TRY(drop_stale_reservations(session, group));
    for (const PoolRow& pool : TRY(session.catalog.unfinished_pools(group.id))) {
        if (!TRY(left_alone(session, pool))) continue;
        auto opened = LocalPool::open(session, group, pool);
        if (opened || opened.error().code == Errc::busy || !pool.lv.pending) continue;
        // A pool that was never finished and cannot be: whoever wanted it was not told that it
        // exists.
        auto transaction = TRY(session.catalog.begin());
        TRY(session.catalog.remove_lv(pool.lv.id));
        TRY(drop_unneeded_spare(session.catalog, group));
        TRY(std::move(transaction).commit());
    }
    return {};
}

}  // namespace thinvol
