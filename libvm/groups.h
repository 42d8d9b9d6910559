// groups: volume groups and their physical volumes, from making them to taking them apart.
//
// Units       extents; sectors
// Invariants  (1) a physical volume's label is written before its catalog row, and wiped after: a
//                 label of this environment that the catalog does not know is a leftover, and may
//                 be written over
//             (2) an operation that fails changes nothing
// Errors      exists, not_found, busy, out_of_space, invalid_argument; refused: `confirm` says no
// Threads     one
// Source      vgcreate(8), vgextend(8), vgreduce(8), vgremove(8)
#pragma once

#include "libvm/pv_lifecycle.h"

namespace thinvol {

struct GroupResult {
    std::vector<std::string> warnings;
    std::vector<std::string> prepared;  // physical volumes that were made
};

struct NewGroup {
    std::string name;
    std::vector<std::string> pv_paths;
    Sectors extent_size{8192};  // 4 MiB
};
Result<GroupResult> create_group(Session& session, const NewGroup& wanted,
                                 const Confirm& overwrite);
Result<GroupResult> extend_group(Session& session, const GroupRow& group,
                                 const std::vector<std::string>& pv_paths,
                                 const Confirm& overwrite);
// Only physical volumes without extents in use leave; one must stay.
Result<GroupResult> reduce_group(Session& session, const GroupRow& group,
                                 const std::vector<PvRow>& leaving);
// The group must be empty of pools (remove_pool).
Result<GroupResult> remove_group(Session& session, const GroupRow& group);
Result<GroupResult> rename_group(Session& session, const GroupRow& group, const std::string& name);

// Brings what interrupted commands left in the group to an end: pools half made, operations half
// done, places taken. Where somebody is at it, he is left to it.
Result<> settle_group(Session& session, const GroupRow& group);

}  // namespace thinvol
