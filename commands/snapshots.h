// snapshots: what tvsnapshot does, and tvcreate -s.
//
// Units       none
// Invariants  none
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvcreate(8), thin snapshots
#pragma once

#include "commands/invocation.h"

namespace thinvol {

int make_snapshot(Invocation& call);

}  // namespace thinvol
