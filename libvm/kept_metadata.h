// kept_metadata: the metadata that a pool had before a repair, as a volume POOL_metaN of their own,
// to be looked at, put back, or removed.
//
// Units       none
// Invariants  they are rows of the spare's kind, which only their names tell from it
// Errors      as the catalog's; not_found
// Threads     as the catalog's
// Source      lvconvert(8) --repair
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libvm/session.h"

namespace thinvol {

Result<std::vector<LvRow>> kept_metadata(Catalog& catalog, std::int64_t vg_id);
// The pool's newest.
Result<std::optional<LvRow>> newest_kept_metadata(Catalog& catalog, const LvRow& pool);
// A new one, without segments yet; inside a transaction.
Result<LvRow> add_kept_metadata(Catalog& catalog, const LvRow& pool, std::int64_t now);
Result<> remove_kept_metadata(Session& session, const GroupRow& group, const LvRow& kept);

}  // namespace thinvol
