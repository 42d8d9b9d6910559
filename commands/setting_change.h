// setting_change: tvchange --setting and --unset, for groups, pools and volumes.
//
// Units       none
// Invariants  all of a command's settings are stored, or none
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvchange(8), --metadataprofile
#pragma once

#include "commands/invocation.h"

namespace thinvol {

inline constexpr OptionSpec setting_option{
    "setting", 0, Value::setting, "A setting for the group, pool or volume alone (thinvol config).",
    true};
inline constexpr OptionSpec unset_option{
    "unset", 0, Value::setting_key,
    "The group, pool or volume follows what is above it again in this.", true};

int change_settings(Invocation& call);

}  // namespace thinvol
