// missing_pvs: what a group has lost with physical volumes that are gone, and how it does without.
//
// Units       none
// Invariants  (1) nothing is given up that was not asked for: a pool with extents on a missing
//                 physical volume goes with all its volumes, and only by force
//             (2) given again after a kill, it goes on where it was
// Errors      as remove_pool and reduce_group
// Threads     one
// Source      vgreduce(8)
#pragma once

#include "libvm/groups.h"

namespace thinvol {

struct Missing {
    std::vector<PvRow> pvs;        // not found where the catalog expects them
    std::vector<PoolRow> partial;  // have extents there
    bool spare = false;            // so has the spare
};
Result<Missing> missing_in(Session& session, const GroupRow& group);

struct GivenUp {
    std::vector<PvRow> pvs;
    std::vector<PoolRow> pools;  // with all their volumes
    std::vector<std::string> warnings;
};
// Without `force`, only those that nothing lies on.
Result<GivenUp> give_up_missing(Session& session, const GroupRow& group, const Missing& missing,
                                bool force);

}  // namespace thinvol
