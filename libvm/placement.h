// placement: which free extents a volume gets: as the group's policy, the tags of its physical
// volumes and the user say.
//
// Units       extents of the group
// Invariants  a physical volume with the tag "metadata" is for pools' metadata and the spare, as
//             long as there are others for data
// Errors      out_of_space, naming the policy that was in the way
// Threads     as the catalog's; inside a transaction
// Source      lvm(8) on allocation
#pragma once

#include "libvm/extents.h"

namespace thinvol {

struct WantedExtents {
    SegmentRole role = SegmentRole::data;
    Extents length{};
    std::vector<std::int64_t> pv_ids{};  // named by the user; empty: any
    std::vector<SegmentRow> present{};   // what the volume has of that role, in order
};
Result<std::vector<Placement>> place(Catalog& catalog, const GroupRow& group,
                                     const WantedExtents& wanted);
// What is free in the group, and how much of it only metadata and spare may have.
struct Room {
    Extents all{};
    Extents metadata_only{};
    Extents data() const { return all - metadata_only; }
};
Result<Room> room_in(Catalog& catalog, const GroupRow& group);

}  // namespace thinvol
