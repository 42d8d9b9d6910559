// merges: snapshots that are to replace the content of their origins, as the catalog has them.
//
// A snapshot becomes its origin by its thin id alone: the origin's row gets it, the snapshot's row
// goes, and the pool drops the origin's old id. While either is in use the wish is only recorded
// (ThinRow::merging).
//
// Units       none
// Invariants  (1) one snapshot at most is to replace an origin
//             (2) whoever had the snapshot as origin has the one that it replaced; siblings keep
//                 theirs
// Errors      invalid_argument: the snapshot cannot replace anything, and why
// Threads     as the catalog's
// Source      lvconvert(8), --merge
#pragma once

#include "libvm/catalog.h"

namespace thinvol {

// The snapshot that is to replace this volume.
Result<std::optional<ThinRow>> merging_into(Catalog& catalog, std::int64_t origin_id);
// Whether the snapshot may replace its origin, recorded already or not.
Result<> check_mergeable(Catalog& catalog, const ThinRow& snapshot);

// --- inside a Transaction
Result<> set_merging(Catalog& catalog, std::int64_t snapshot_id, Merging merging);
// The name that the state before gets: ORIGIN_premerge, with a number behind it where that is
// taken.
Result<std::string> premerge_name(Catalog& catalog, const ThinRow& origin);
// The snapshot's row goes, and the origin has its thin id and size. Done already: nothing happens.
Result<> replace_origin(Catalog& catalog, std::int64_t origin_id, std::int64_t snapshot_id,
                        ThinId thin_id, Bytes size);
// Makes a volume the snapshot of another that it never was: to take its place.
Result<> set_origin(Catalog& catalog, std::int64_t lv_id, std::int64_t origin_id);
Result<> set_thin_id(Catalog& catalog, std::int64_t lv_id, ThinId id);

}  // namespace thinvol
