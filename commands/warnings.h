// warnings: what more than one command warns of.
//
// Units       none
// Invariants  none
// Errors      none: of a warning that cannot be worked out, the reason is one
// Threads     one
// Source      lvmthin(7)
#pragma once

#include "commands/invocation.h"
#include "libvm/volumes.h"

namespace thinvol {

// The volumes may outgrow their pool.
void warn_of_overcommitment(Invocation& call, Session& session, const GroupRow& group,
                            const PoolRow& pool);
// The pool is fuller than its first warning level, and does not extend itself. `use`: as a request
// that let it fill or grow was answered.
void warn_of_space(Invocation& call, Session& session, const GroupRow& group, const PoolRow& pool,
                   const PoolAnswer& use);

}  // namespace thinvol
