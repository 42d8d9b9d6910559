#include "libvm/kept_metadata.h"

#include <fmt/format.h>

#include "libvm/group_log.h"
#include "libvm/reconcile.h"

namespace thinvol {

Result<std::vector<LvRow>> kept_metadata(Catalog& catalog, std::int64_t vg_id) {
    // By their segments, which are few, before a search among all volumes.
    Statement query = TRY(catalog.database().prepare(
        "SELECT id, uuid, name, created FROM lv WHERE kind = 'spare' AND name NOT LIKE '%_pmspare' "
        "AND id IN (SELECT lv_id FROM segment WHERE vg_id = ? AND role = 'spare') ORDER BY id"));
    query.bind(vg_id);
    std::vector<LvRow> found;
    while (TRY(query.step())) {
        LvRow row;
        row.id = query.integer(0);
        row.vg_id = vg_id;
        row.uuid = query.text(1);
        row.name = query.text(2);
        row.kind = LvKind::spare;
        row.created = query.integer(3);
        found.push_back(std::move(row));
    }
    return found;
}

Result<std::optional<LvRow>> newest_kept_metadata(Catalog& catalog, const LvRow& pool) {
    std::optional<LvRow> newest;
    for (LvRow& kept : TRY(kept_metadata(catalog, pool.vg_id)))
        if (kept.name.starts_with(pool.name + "_meta")) newest = std::move(kept);
    return newest;
}

Result<LvRow> add_kept_metadata(Catalog& catalog, const LvRow& pool, std::int64_t now) {
    LvRow row;
    row.vg_id = pool.vg_id;
    row.uuid = new_uuid();
    row.kind = LvKind::spare;
    row.created = now;
    for (int n = 0; row.name.empty() || TRY(catalog.lookup_lv(pool.vg_id, row.name)); ++n)
        row.name = fmt::format("{}_meta{}", pool.name, n);
    row.id = TRY(catalog.add_spare(row));
    return row;
}

Result<> remove_kept_metadata(Session& session, const GroupRow& group, const LvRow& kept) {
    TRY(check_group_usable(session, group));
    auto transaction = TRY(session.catalog.begin());
    TRY(session.catalog.remove_lv(kept.id));
    TRY(session.catalog.prune_log(group.id));
    TRY(std::move(transaction).commit());
    return sync_group_log(session, group);
}

}  // namespace thinvol
