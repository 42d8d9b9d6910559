// properties: what tvchange changes of volumes by the catalog alone, and tells their pools'
// servers.
//
// Units       none
// Invariants  all volumes are changed, or none
// Errors      reported by the caller
// Threads     one
// Source      lvchange(8)
#pragma once

#include "commands/invocation.h"
#include "commands/lookup.h"

namespace thinvol {

// Volumes by their pools: a pool's server is asked once.
// --setactivationskip and --permission.
Result<> change_properties(Invocation& call, Session& session,
                           const std::vector<FoundThin>& volumes);
// --addtag and --deltag, of pools too.
Result<> change_tags(Invocation& call, Session& session);

}  // namespace thinvol
