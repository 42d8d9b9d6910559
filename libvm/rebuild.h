// rebuild: groups made anew in the catalog from the logs on their physical volumes alone.
//
// Units       none
// Invariants  (1) nobody uses the physical volumes meanwhile: they are locked exclusively
//             (2) the labels name this environment before the catalog knows the group: a catalog
//                 that comes back elsewhere finds its physical volumes taken
//             (3) a damaged catalog is moved aside, never written or removed
// Errors      busy: a physical volume is in use; exists: one is there twice, or its group is known;
//             not_found: no log; corrupt; refused when `confirm` says no
// Threads     one
// Source      vgscan(8), vgimport(8); ARCHITECTURE.md
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libvm/group_rows.h"
#include "libvm/groups.h"

namespace thinvol {

// A physical volume as its own label and log describe it.
struct ScannedPv {
    std::string path;  // absolute, links resolved
    Sectors size{};
    PvLabel label;
    std::int64_t last_change = 0;  // of its log; 0: it has none
    PvOpener::Opened opened;
};
Result<ScannedPv> scan_pv(PvOpener& opener, const std::string& path, LockKind lock);
// The rows that its log tells.
Result<GroupRows> rows_on(const ScannedPv& pv);

// Why the catalog cannot be used; nothing: it can, or there is none.
Result<std::optional<Error>> catalog_damage(const Environment& environment);

struct RebuiltGroups {
    std::vector<std::string> names;
    std::vector<std::string> warnings;
    std::string moved_to;  // where a damaged catalog is now
};
// The groups of these physical volumes. Others of a group are looked for where its log says they
// were.
Result<RebuiltGroups> rebuild_groups(const Environment& environment,
                                     const std::vector<std::string>& paths, const Confirm& confirm);

}  // namespace thinvol
