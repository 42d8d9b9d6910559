// report_tree: rows of volumes as the trees that they make: pools, their volumes, the snapshots of
// those.
//
// Units       none
// Invariants  a volume stands below its origin, else below its pool, as far as these are rows too;
//             siblings keep their order
// Errors      none
// Threads     any; pure
// Source      none
#pragma once

#include <string>
#include <vector>

#include "libvm/report_rows.h"

namespace thinvol {

// Puts the rows in order; what is drawn before the name of each.
std::vector<std::string> draw_tree(std::vector<ReportRow>& rows, bool lines);

}  // namespace thinvol
