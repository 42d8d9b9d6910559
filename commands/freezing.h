// freezing: snapshots of volumes that are block devices here, with what is mounted of them held
// still.
//
// Units       none
// Invariants  the file system that this command itself writes to is not frozen: it would wait for
//             itself
// Errors      as create_volumes() and FrozenMounts
// Threads     one
// Source      none
#pragma once

#include "commands/invocation.h"
#include "commands/lookup.h"
#include "libvm/volumes.h"

namespace thinvol {

Result<VolumeResult> create_frozen(Invocation& call, Session& session, const PoolRow& pool,
                                   const std::vector<FoundThin>& origins,
                                   const MakeVolumesRequest& wanted);

}  // namespace thinvol
