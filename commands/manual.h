// manual: manual pages, from the commands' declarations.
//
// Units       none
// Invariants  everything that is declared is shown; text is never taken for a request of troff
// Errors      none
// Threads     any; pure
// Source      man(7)
#pragma once

#include <string>

#include "commands/command_spec.h"

namespace thinvol {

// "tvs" or, of what is called as `thinvol COMMAND`, "thinvol-events".
std::string page_name(const CommandSpec& spec);
// Of section 8.
std::string manual_page(const CommandSpec& spec);
// thinvol(7): what there is, with worked examples.
std::string manual_overview();

}  // namespace thinvol
