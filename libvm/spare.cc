#include "libvm/spare.h"

#include <fmt/format.h>

#include "libvm/placement.h"
#include "libvm/uuid.h"

namespace thinvol {

Result<bool> grow_spare(Catalog& catalog, const GroupRow& group, Extents wanted, std::int64_t now) {
    const auto spare = TRY(catalog.spare(group.id));
    Extents have(0);
    WantedExtents more{SegmentRole::spare};
    if (spare) more.present = TRY(catalog.segments_of(spare->id, SegmentRole::spare, true));
    for (const SegmentRow& s : more.present) have += s.length;
    if (have >= wanted) return true;
    more.length = wanted - have;
    const auto places = place(catalog, group, more);
    if (!places && places.error().code == Errc::out_of_space) return false;
    if (!places) return places.error();
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
    for (const Placement& p : *places) {
        TRY(catalog.add_segment(
            {0, group.id, id, SegmentRole::spare, have, p.length, p.pv_id, p.start, false}));
        have += p.length;
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
