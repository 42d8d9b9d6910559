// creation: what a tvcreate command line asks for: a pool, a thin volume, or both.
//
// Units       none
// Invariants  a Creation makes something, and is in one group
// Errors      invalid_argument: a usage error; unsupported: another type of volume
// Threads     one
// Source      lvcreate(8)
#pragma once

#include "commands/invocation.h"
#include "libvm/volumes.h"

namespace thinvol {

struct Creation {
    std::string group;
    std::string pool;  // empty: an automatic name
    bool makes_pool = false;
    bool makes_volume = false;
};

// Which pool is meant, and what is to be made.
Result<Creation> creation_of(const Invocation& call);
// What the options say of the new pool.
Result<NewPool> pool_wanted(Invocation& call, Session& session, const GroupRow& group,
                            const Creation& creation);

}  // namespace thinvol
