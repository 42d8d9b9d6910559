// group_check: whether a group's physical volumes, their labels and logs, its rows and its pools
// are as they should be.
//
// Units       none
// Invariants  nothing is changed, but that a log without a first record gets one
// Errors      only where the check itself cannot go on; what it finds is its result
// Threads     one
// Source      vgck(8)
#pragma once

#include <string>
#include <vector>

#include "libvm/session.h"

namespace thinvol {

struct GroupFindings {
    std::vector<std::string> wrong;   // a text for each
    std::vector<std::string> mended;  // what was left half done, and is done now
};
Result<GroupFindings> check_group(Session& session, const GroupRow& group);

}  // namespace thinvol
