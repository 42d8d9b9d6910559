// idempotence: an option for automation: what is so already is a success.
//
// Units       none
// Invariants  only what was asked for in every respect that the command line names counts as so
// Errors      none
// Threads     any; constants
// Source      none
#pragma once

#include "commands/command_spec.h"

namespace thinvol {

inline constexpr OptionSpec idempotent_option{
    "idempotent", 0, Value::none, "Succeed, and change nothing, where it is so already."};

}  // namespace thinvol
