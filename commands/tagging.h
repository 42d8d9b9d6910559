// tagging: options that give objects tags and take them away.
//
// Units       none
// Invariants  none
// Errors      as tags.h
// Threads     any; constants
// Source      lvm(8), "Tags"
#pragma once

#include "commands/command_spec.h"

namespace thinvol {

inline constexpr OptionSpec addtag_option{"addtag", 0, Value::tag, "Give it this tag.", true};
inline constexpr OptionSpec deltag_option{"deltag", 0, Value::tag, "Take this tag away.", true};

}  // namespace thinvol
