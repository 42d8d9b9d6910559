#include "libvm/missing_pvs.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/group_log.h"
#include "libvm/reconcile.h"
#include "libvm/spare.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

// In place of one that was lost; as large as the largest metadata. false: there is no room.
Result<bool> renew_spare(Session& session, const GroupRow& group) {
    Catalog& catalog = session.catalog;
    auto transaction = TRY(catalog.begin());
    Extents largest(0);
    for (const PoolRow& pool : TRY(catalog.pools(group.id))) {
        Extents sum(0);
        for (const SegmentRow& s :
             TRY(catalog.segments_of(pool.lv.id, SegmentRole::metadata, false)))
            sum += s.length;
        largest = std::max(largest, sum);
    }
    const bool made =
        largest == Extents(0) || TRY(grow_spare(catalog, group, largest, session.now()));
    TRY(std::move(transaction).commit());
    return made;
}

// The spare, and damaged metadata that a repair kept: half of either is of no use.
Result<> drop_spares(Session& session, const std::vector<PvRow>& leaving) {
    auto transaction = TRY(session.catalog.begin());
    for (const PvRow& pv : leaving)
        TRY(session.catalog.database().run(
            "DELETE FROM lv WHERE id IN (SELECT lv_id FROM segment WHERE pv_id = ? AND role = "
            "'spare')",
            pv.id));
    return std::move(transaction).commit();
}

}  // namespace

Result<Missing> missing_in(Session& session, const GroupRow& group) {
    Missing missing;
    for (PvRow& pv : TRY(session.catalog.pvs(group.id))) {
        const auto opened = session.opener->open(pv.path, {pv.io_mode, LockKind::shared});
        if (!opened && opened.error().code == Errc::not_found) missing.pvs.push_back(std::move(pv));
    }
    const auto lies_there = [&](const SegmentRow& s) {
        return std::ranges::count(missing.pvs, s.pv_id, &PvRow::id) > 0;
    };
    const auto segments = TRY(session.catalog.segments(group.id));
    for (PoolRow& pool : TRY(session.catalog.pools(group.id))) {
        if (std::ranges::any_of(segments, [&](const SegmentRow& s) {
                return s.lv_id == pool.lv.id && lies_there(s);
            }))
            missing.partial.push_back(std::move(pool));
    }
    missing.spare = std::ranges::any_of(segments, [&](const SegmentRow& s) {
        return s.role == SegmentRole::spare && lies_there(s);
    });
    return missing;
}

Result<GivenUp> give_up_missing(Session& session, const GroupRow& group, const Missing& missing,
                                bool force) {
    TRY(check_group_usable(session, group));
    GivenUp given;
    if (force) {
        // What their logs could not be told is of no interest: those leave.
        for (const PoolRow& pool : missing.partial) {
            TRY(remove_pool(session, group, pool));
            given.pools.push_back(pool);
        }
    }
    const auto keeps = [&](SegmentRole role) {
        return role == SegmentRole::data || role == SegmentRole::metadata;
    };
    const auto segments = TRY(session.catalog.segments(group.id));
    for (const PvRow& pv : missing.pvs) {
        if (std::ranges::none_of(
                segments, [&](const SegmentRow& s) { return s.pv_id == pv.id && keeps(s.role); }))
            given.pvs.push_back(pv);
    }
    if (given.pvs.empty()) return given;
    if (missing.spare) TRY(drop_spares(session, given.pvs));
    for (auto& warning : TRY(reduce_group(session, group, given.pvs)).warnings)
        given.warnings.push_back(std::move(warning));
    if (missing.spare && !TRY(renew_spare(session, group)))
        given.warnings.push_back(
            fmt::format("volume group {} has no room for a new metadata spare", group.name));
    if (missing.spare) {
        if (auto synced = sync_group_log(session, group); !synced)
            given.warnings.push_back(synced.error().text);
    }
    return given;
}

}  // namespace thinvol
