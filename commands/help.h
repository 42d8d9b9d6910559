// help: a command's usage, from its declaration.
//
// Units       none
// Invariants  everything that is declared is shown
// Errors      none
// Threads     any; pure
// Source      none
#pragma once

#include <string>

#include "commands/command_spec.h"

namespace thinvol {

std::string help_of(const CommandSpec& spec);
// With the command's description, and of a report its fields.
std::string long_help_of(const CommandSpec& spec);
// All commands, a line each.
std::string help_of_all();
std::string version_text();

}  // namespace thinvol
