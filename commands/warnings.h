// warnings: what more than one command warns of.
//
// Units       none
// Invariants  none
// Errors      none: a warning that cannot be worked out is left out
// Threads     one
// Source      lvmthin(7)
#pragma once

#include "commands/invocation.h"
#include "libvm/volumes.h"

namespace thinvol {

inline void warn_of_overcommitment(Invocation& call, Session& session, const GroupRow& group,
                                   const PoolRow& pool) {
    const auto warnings = overcommit_warnings(session, group, pool);
    if (!warnings) return;
    for (const auto& warning : *warnings) call.warn(warning);
}

}  // namespace thinvol
