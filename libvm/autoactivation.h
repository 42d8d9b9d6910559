// autoactivation: which volumes `tvchange -aay` activates, at boot say.
//
// Units       none
// Invariants  a volume is activated so where both it and its group allow it; both do at first
// Errors      as the catalog's
// Threads     as the catalog's
// Source      lvmautoactivation(7)
#pragma once

#include "libvm/catalog.h"

namespace thinvol {

Result<bool> autoactivates(Catalog& catalog, std::int64_t lv_id);
// Inside a Transaction.
Result<> set_autoactivation(Catalog& catalog, std::int64_t lv_id, bool on);

}  // namespace thinvol
