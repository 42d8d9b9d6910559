// refresh: tvchange --refresh, which puts the program in its file in the place of running servers.
//
// Units       none
// Invariants  none
// Errors      as restart_server()
// Threads     one
// Source      lvchange(8), --refresh
#pragma once

#include "commands/invocation.h"

namespace thinvol {

int refresh_servers(Invocation& call);

}  // namespace thinvol
