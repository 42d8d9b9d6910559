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

#include <optional>
#include <string>
#include <vector>

#include "libvm/session.h"

namespace thinvol {

// read_only, with the way back, where the pool is lent.
Result<> check_not_lent(const GroupRow& group, const PoolRow& pool);

// The pool is not active here, all of it is durable, and it is whole: no operation is half done.
Result<> lend_pool(Session& session, const GroupRow& group, const PoolRow& pool, LentTo to);

// What becomes of volumes that differ from the catalog's.
struct ReturnDecisions {
    struct Adoption {
        ThinId id;
        std::string name;
        std::optional<Bytes> size;  // metadata have none; what is mapped unless given
    };
    std::vector<Adoption> adopt;
    std::vector<ThinId> remove;           // unknown here
    std::vector<std::string> forget;      // names of volumes that are gone there
    std::optional<TransactionId> accept;  // the pool's, where it is not the catalog's
};
struct ReturnedPool {
    std::vector<std::string> undecided;  // texts for the user; not empty: nothing was changed
    std::vector<std::string> warnings;
};
Result<ReturnedPool> return_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                                 const ReturnDecisions& decisions);

}  // namespace thinvol
