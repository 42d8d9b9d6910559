// rehearsal: a session in which everything is checked and nothing changed: what --test works with.
//
// The catalog is a copy in a directory of its own, what is written to physical volumes stays in
// memory, and servers are asked only for what changes nothing. Whoever works on a pool's blocks, or
// starts something, looks at Environment::rehearsal.
//
// Units       none
// Invariants  no file of the environment and no physical volume is changed; what the session left
//             is gone with it
// Errors      as Session::open
// Threads     one
// Source      lvm(8), --test
#pragma once

#include "libvm/pool_request.h"
#include "libvm/session.h"

namespace thinvol {

Result<Session> open_rehearsal(const Environment& environment);

// What the pool's owner would say: the catalog's part happens in the copy. busy: an operation was
// interrupted, which only the owner itself can end.
Result<PoolAnswer> rehearse(Session& session, const PoolRow& pool, const PoolRequest& request);
// What a server would say; `status` is what it says of itself.
Result<PoolAnswer> rehearse_served(PoolAnswer status, const PoolRequest& request);

}  // namespace thinvol
