// pool_repair: metadata written anew from what a damaged device still holds, for tvrepair and
// tvconvert.
//
// Units       none
// Invariants  what is damaged is only read
// Errors      as MetadataSwap and plan_repair()
// Threads     build_repaired() uses two
// Source      lvconvert(8), --repair and --swapmetadata
#pragma once

#include "commands/invocation.h"
#include "engine/repair.h"

namespace thinvol {

Result<RepairPlan> plan_and_warn(Invocation& call, const std::string& name, BlockQueue& device,
                                 const PoolOverrides& known, RepairWish wish = {});
// Says what was written.
Result<std::string> build_repaired(const std::string& name, BlockQueue& source,
                                   const RepairPlan& plan, BlockQueue& target);
Result<std::string> repair_pool(Invocation& call, const std::string& operand);
// The pool takes the metadata that are on the group's spare, and leaves its own there.
Result<> swap_metadata(Invocation& call, const std::string& operand);
// Metadata that a repair kept; false: the operand is something else.
Result<bool> remove_if_kept(Invocation& call, Session& session, const std::string& operand);

}  // namespace thinvol
