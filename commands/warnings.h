// warnings: what more than one command warns of.
//
// Units       none
// Invariants  none
// Errors      none: of a warning that cannot be worked out, the reason is one
// Threads     one
// Source      lvmthin(7)
#pragma once

#include "commands/invocation.h"
#include "libvm/config.h"
#include "libvm/volumes.h"

namespace thinvol {

// Nothing, and a warning, where the settings cannot be read: they keep nobody from a change that
// does not need them.
std::optional<Config> config_for_warnings(Invocation& call, Session& session, const PoolRow& pool);
// The volumes may outgrow their pool.
void warn_of_overcommitment(Invocation& call, Session& session, const Config& config,
                            const GroupRow& group, const PoolRow& pool);
// The pool is fuller than its first warning level, and does not extend itself. `use`: as a request
// that let it fill or grow was answered.
void warn_of_space(Invocation& call, const Config& config, const std::string& pool_name,
                   const PoolAnswer& use);

}  // namespace thinvol
