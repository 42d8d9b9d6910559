// lending: what tvchange --lend and --return do.
//
// Units       none
// Invariants  none
// Errors      reported; the exit status is returned
// Threads     one
// Source      none
#pragma once

#include "commands/invocation.h"

namespace thinvol {

int change_lending(Invocation& call);

}  // namespace thinvol
