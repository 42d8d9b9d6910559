// snapshots: what tvsnapshot does, and tvcreate -s.
//
// Units       none
// Invariants  all snapshots of one call are of one instant, or none is made
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvcreate(8), thin snapshots
#pragma once

#include "commands/invocation.h"

namespace thinvol {

// Of what the operands mean: a volume each; with several_allowed also groups and tags.
int make_snapshots(Invocation& call, const std::vector<std::string>& operands,
                   bool several_allowed);

// tvcreate -s: of a thin volume, or with --thinpool over a file or block device.
int make_by_tvcreate(Invocation& call);

}  // namespace thinvol
