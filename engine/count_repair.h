// count_repair: puts leaks and wrong counts right, as a check found them, in one commit.
//
// Units       none
// Invariants  (1) the trees of volumes stay as they are; only counts change, and needs_check
//             (2) until the superblock is written, the last thing done, nothing on disk changed
// Errors      invalid_argument: the report has damage besides, so that its counts prove nothing;
//             otherwise as the transaction manager's
// Threads     one; nobody else has the device open
// Source      thin_check(8), --auto-repair and --clear-needs-check-flag
#pragma once

#include "engine/check.h"

namespace thinvol {

Result<> repair_counts(BlockQueue& device, const CheckReport& report);
// The report is clean.
Result<> clear_needs_check(BlockQueue& device, const CheckReport& report);

}  // namespace thinvol
