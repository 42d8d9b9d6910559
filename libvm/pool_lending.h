// pool_lending: a pool in the kernel's hands for a while, and taken back with what was done to it
// there.
//
// Units       bytes of volumes
// Invariants  (1) while a pool is lent nothing here opens or changes it
//             (2) it comes back only when each volume that is new or gone was decided on, in one
//                 catalog transaction
// Errors      read_only: the pool is lent; busy: it is active, here or in the kernel;
//             invalid_argument: a decision about nothing that differs
// Threads     one
// Source      none
#pragma once

#include <string>
#include <vector>

#include "libvm/pool_differences.h"

namespace thinvol {

// read_only, with the way back, where the pool is lent.
Result<> check_not_lent(const GroupRow& group, const PoolRow& pool);

// The pool is not active here, all of it is durable, and it is whole: no operation is half done.
Result<> lend_pool(Session& session, const GroupRow& group, const PoolRow& pool, LentTo to);

struct ReturnedPool {
    std::vector<std::string> undecided;  // texts for the user; not empty: nothing was changed
    std::vector<std::string> warnings;
};
Result<ReturnedPool> return_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                                 const PoolDecisions& decisions);

}  // namespace thinvol
