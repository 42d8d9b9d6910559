#include "libvm/placement.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/group_settings.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

using Ids = std::vector<std::int64_t>;

bool has(const Ids& ids, std::int64_t id) { return std::ranges::count(ids, id) > 0; }

// The physical volumes that the tag leaves for the role; empty: all.
Result<Ids> by_tag(Catalog& catalog, const std::vector<PvRow>& pvs, SegmentRole role,
                   std::int64_t vg_id) {
    Ids tagged;
    for (const TagRow& row : TRY(tags_in_group(catalog, vg_id))) {
        if (row.tag == "metadata" && row.object.pv_id != 0) tagged.push_back(row.object.pv_id);
    }
    if (role != SegmentRole::data) return tagged;
    Ids others;
    for (const PvRow& pv : pvs) {
        if (!has(tagged, pv.id)) others.push_back(pv.id);
    }
    return tagged.empty() ? Ids() : others;
}

Ids clinging(const std::vector<SegmentRow>& present, const Ids& allowed) {
    Ids ids;
    for (const SegmentRow& s : present) {
        if (!has(ids, s.pv_id) && (allowed.empty() || has(allowed, s.pv_id)))
            ids.push_back(s.pv_id);
    }
    return ids;
}

Error refused(Error error, Allocation policy, const GroupRow& group) {
    if (error.code == Errc::out_of_space)
        error.text += fmt::format(
            " under allocation policy {}: tvgchange --alloc normal {}, or "
            "name physical volumes with room",
            name_of(policy), group.name);
    return error;
}

}  // namespace

Result<Room> room_in(Catalog& catalog, const GroupRow& group) {
    const auto pvs = TRY(catalog.pvs(group.id));
    const auto free = TRY(FreeExtents::of(pvs, TRY(catalog.segments(group.id))));
    const Ids for_data = TRY(by_tag(catalog, pvs, SegmentRole::data, group.id));
    Room room{free.total(), Extents(0)};
    for (const PvRow& pv : pvs) {
        if (!for_data.empty() && !has(for_data, pv.id)) room.metadata_only += free.on(pv.id);
    }
    return room;
}

Result<std::vector<Placement>> place(Catalog& catalog, const GroupRow& group,
                                     const WantedExtents& wanted) {
    const auto pvs = TRY(catalog.pvs(group.id));
    auto free = TRY(FreeExtents::of(pvs, TRY(catalog.segments(group.id))));
    const Allocation policy = TRY(group_settings(catalog, group.id)).allocation;
    const bool is_data = wanted.role == SegmentRole::data;
    Ids allowed = wanted.pv_ids;
    if (allowed.empty()) {
        allowed = TRY(by_tag(catalog, pvs, wanted.role, group.id));
        Extents room(0);
        for (const std::int64_t id : allowed) room += free.on(id);
        if (!is_data && room < wanted.length) allowed.clear();
    }
    const SegmentRow* last = wanted.present.empty() ? nullptr : &wanted.present.back();
    const Placement behind =
        last == nullptr ? Placement() : Placement{last->pv_id, last->pv_start, last->length};
    const Placement* after = last == nullptr ? nullptr : &behind;
    if (policy == Allocation::contiguous) {
        auto run = free.take_run(wanted.length, allowed, after);
        if (!run) return refused(std::move(run).error(), policy, group);
        return std::vector<Placement>{*run};
    }
    if (policy == Allocation::cling && after != nullptr && wanted.pv_ids.empty()) {
        const Ids same = clinging(wanted.present, allowed);
        if (!same.empty()) allowed = same;
        auto taken = free.take(wanted.length, allowed, after);
        if (!taken) return refused(std::move(taken).error(), policy, group);
        return taken;
    }
    return free.take(wanted.length, allowed, after);
}

}  // namespace thinvol
