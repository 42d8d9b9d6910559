// run_now: a request to a pool, waited for by whoever has nothing else to do.
//
// Units       as the requests
// Invariants  none
// Errors      as the requests
// Threads     the pool's
// Source      none
#pragma once

#include <vector>

#include "engine/pool.h"

namespace thinvol {

// Run the pool until the request has ended. Only where writes do not wait for space.
Result<> apply_now(Pool& pool, std::vector<PoolOperation> operations, TransactionId from,
                   TransactionId to);
Result<> submit_now(Pool& pool, IoRequest& request);

}  // namespace thinvol
