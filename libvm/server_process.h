// server_process: starts thinvold for a pool.
//
// Units       none
// Invariants  the server outlives whoever starts it, and holds none of its descriptors
// Errors      what the server said when it could not start
// Threads     one
// Source      daemon(7), "New-style daemons"
#pragma once

#include "libvm/environment.h"

namespace thinvol {

// Returns when the server takes requests. Errc::exists: another one does already.
Result<> start_server_process(const Environment& environment, const std::string& pool_uuid);

}  // namespace thinvol
