#include "libvm/spare.h"

#include <fmt/format.h>

#include "libvm/extents.h"
#include "libvm/uuid.h"

namespace thinvol {

Result<bool> grow_spare(Catalog& catalog, const GroupRow& group, Extents wanted, std::int64_t now) {
    const auto spare = TRY(catalog.spare(group.id));
    Extents have(0);
    if (spare) {
        for (const SegmentRow& s : TRY(catalog.segments_of(spare->id, SegmentRole::spare, true)))
            have += s.length;
    }
    if (have >= wanted) return true;
    auto free = TRY(FreeExtents::of(TRY(catalog.pvs(group.id)), TRY(catalog.segments(group.id))));
    if (free.total() < wanted - have) return false;
    std::int64_t id = spare ? spare->id : 0;
    if (!spare) {
        LvRow row;
        row.vg_id = group.id;
        row.uuid = new_uuid();
        row.name = TRY(catalog.automatic_name(group.id)) + "_pmspare";
        row.kind = LvKind::spare;
        row.created = now;
        id = TRY(catalog.add_spare(row));
    }
    for (const Placement& place : TRY(free.take(wanted - have, {}))) {
        TRY(catalog.add_segment({0, group.id, id, SegmentRole::spare, have, place.length,
                                 place.pv_id, place.start, false}));
        have += place.length;
    }
    return true;
}

Result<> drop_unneeded_spare(Catalog& catalog, const GroupRow& group) {
    const auto spare = TRY(catalog.spare(group.id));
    if (!spare || !TRY(catalog.pools(group.id)).empty() ||
        !TRY(catalog.unfinished_pools(group.id)).empty())
        return {};
    return catalog.remove_lv(spare->id);
}

}  // namespace thinvol
