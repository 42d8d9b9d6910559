// group_options: what tvgcreate and tvgchange set of a group.
//
// Units       none
// Invariants  none
// Errors      as group_settings.h and tags.h
// Threads     one
// Source      vgcreate(8), vgchange(8)
#pragma once

#include "commands/invocation.h"

namespace thinvol {

inline constexpr OptionSpec set_autoactivation_option{
    "setautoactivation", 0, Value::yes_no, "Whether -aay activates volumes of the group."};
inline constexpr OptionSpec allocation_option{"alloc", 0, Value::allocation,
                                              "How extents are placed."};

bool has_group_options(const Invocation& call);
// --deltag too, where the command has it.
Result<> apply_group_options(Invocation& call, Session& session, const GroupRow& group);

}  // namespace thinvol
