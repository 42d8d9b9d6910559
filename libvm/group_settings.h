// group_settings: what a group as a whole is told: whether it may be activated at boot, whether it
// was given away, how it is to place extents.
//
// Units       none
// Invariants  an exported group is changed and activated by nobody, until it is imported
// Errors      as Catalog; busy: a volume of the group is active
// Threads     as the catalog's
// Source      vgchange(8), vgexport(8)
#pragma once

#include "libvm/groups.h"

namespace thinvol {

enum class Allocation {
    contiguous,  // one run, behind what is there
    cling,       // on the physical volumes that the volume is on
    normal,
};
std::string_view name_of(Allocation allocation);

struct GroupSettings {
    bool autoactivation = true;
    bool exported = false;
    Allocation allocation = Allocation::normal;
};
Result<GroupSettings> group_settings(Catalog& catalog, std::int64_t vg_id);
// Inside a Transaction.
Result<> set_group_settings(Catalog& catalog, std::int64_t vg_id, const GroupSettings& settings);

// read_only, with the way out, where the group is exported.
Result<> check_not_exported(Catalog& catalog, const GroupRow& group);
Result<GroupResult> export_group(Session& session, const GroupRow& group);
Result<GroupResult> import_group(Session& session, const GroupRow& group);

}  // namespace thinvol
