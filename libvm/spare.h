// spare: the hidden volume of a group into which a pool's metadata can be repaired.
//
// Units       extents
// Invariants  one a group, as large as the largest pool metadata in it, where there is room
// Errors      as Catalog
// Threads     as the catalog's; inside a transaction
// Source      LVM2's lvolN_pmspare
#pragma once

#include "libvm/catalog.h"

namespace thinvol {

// Makes the spare or lets it grow to `wanted`. Lack of room is no error: the answer is false.
Result<bool> grow_spare(Catalog& catalog, const GroupRow& group, Extents wanted, std::int64_t now);

// The spare of a group without pools goes.
Result<> drop_unneeded_spare(Catalog& catalog, const GroupRow& group);

}  // namespace thinvol
