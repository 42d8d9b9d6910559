// name_search: which names of a group begin so, without reading those that do not: for completion.
//
// Units       none
// Invariants  however many names there are, only so many are read: where there are more, what is
//             found is beginnings of names, one letter longer than all of them have in common
// Errors      as Catalog's
// Threads     as the catalog's
// Source      none
#pragma once

#include <string>
#include <vector>

#include "libvm/catalog.h"

namespace thinvol {

struct NamesWanted {
    bool pools = false;
    bool thins = false;
    bool snapshots_only = false;             // of the thin volumes
    bool lent = false;                       // also pools that are lent, and what is in them
    bool skipped = true;                     // also volumes that activation skips
    std::vector<std::int64_t> pools_only{};  // thin volumes of these; empty: of all
};
struct NamesFound {
    std::vector<std::string> pools;
    std::vector<std::string> thins;
    bool beginnings = false;  // `thins` are no names yet
};
Result<NamesFound> search_names(Catalog& catalog, std::int64_t vg_id, const std::string& beginning,
                                const NamesWanted& wanted);
// Tags of anything, in all groups.
Result<std::vector<std::string>> search_tags(Catalog& catalog, const std::string& beginning);

}  // namespace thinvol
