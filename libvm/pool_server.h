// PoolServer: what thinvold runs: one pool, its exports over NBD, and the control socket that
// commands talk to.
//
// The reactor's thread owns the pool and the clients' sockets. Each control connection has a thread
// of its own; requests are carried out one at a time, and reach the pool by calls to the reactor.
// So the catalog's flushes never hold up a client's I/O.
//
// Units       none
// Invariants  (1) the pool's lock is held from before the sockets exist until after they are gone
//             (2) it ends by itself with the last export, and cleanly on SIGTERM and SIGINT
// Errors      of run(): the pool could not be opened, or the sockets not made
// Threads     as said above
// Source      none
#pragma once

#include <functional>

#include "libvm/environment.h"

namespace thinvol {

struct ServerStart {
    bool restore = false;  // what a server that died exported is exported again
    int succeed = -1;      // what the program before this one hands over (succession.h)
};
// Serves the pool until it has no exports any more. `ready` is told, once, whether requests can be
// sent now.
Result<> run_pool_server(const Environment& environment, const std::string& pool_uuid,
                         const ServerStart& how, const std::function<void(const Result<>&)>& ready);

}  // namespace thinvol
