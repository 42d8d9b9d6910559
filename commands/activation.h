// activation: volumes activated and deactivated, a pool's server being asked once for all of its.
//
// Units       none
// Invariants  one pool's failure does not keep another's volumes from it
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvchange(8), lvmautoactivation(7)
#pragma once

#include "commands/invocation.h"
#include "commands/lookup.h"

namespace thinvol {

struct PoolBatch {
    GroupRow group;
    PoolRow pool;
    std::vector<std::int64_t> lv_ids;
};
Result<std::vector<PoolBatch>> by_pool(Session& session, const std::vector<FoundThin>& volumes);

// As --activate says.
int change_activation(Invocation& call, Session& session, std::vector<FoundThin> volumes);

}  // namespace thinvol
