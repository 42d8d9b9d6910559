// group_check: whether a group's physical volumes, their labels and logs, its rows and its pools
// are as they should be.
//
// Units       none
// Invariants  nothing is changed
// Errors      only where the check itself cannot go on; what it finds is its result
// Threads     one
// Source      vgck(8)
#pragma once

#include <string>
#include <vector>

#include "libvm/session.h"

namespace thinvol {

// What is wrong, a text for each; empty: nothing.
Result<std::vector<std::string>> check_group(Session& session, const GroupRow& group);

}  // namespace thinvol
