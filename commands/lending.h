// lending: what tvchange --lend and --return do.
//
// Units       none
// Invariants  none
// Errors      reported; the exit status is returned
// Threads     one
// Source      none
#pragma once

#include "commands/invocation.h"
#include "libvm/pool_differences.h"

namespace thinvol {

int change_lending(Invocation& call);
// --adopt, --delete-unknown, --forget, --accept-transaction-id.
Result<PoolDecisions> decisions_of(const Invocation& call);

}  // namespace thinvol
