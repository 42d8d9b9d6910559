// extents: which extents of a group are free, and which to take.
//
// Units       extents of the group
// Invariants  an extent belongs to one segment at most
// Errors      out_of_space, with what is free; corrupt: the catalog's segments overlap or leave
//             their PV
// Threads     any; values
// Source      LVM2's allocation policies, without mirrors
#pragma once

#include <vector>

#include "libvm/catalog.h"

namespace thinvol {

struct Placement {
    std::int64_t pv_id = 0;
    Extent start{};
    Extents length{};
};

class FreeExtents {
public:
    static Result<FreeExtents> of(const std::vector<PvRow>& pvs,
                                  const std::vector<SegmentRow>& segments);

    Extents total() const;
    Extents on(std::int64_t pv_id) const;
    // Takes `wanted` extents: behind `after` where that is free, else the smallest run that holds
    // them all, else the largest runs first. `only`: the PVs allowed; empty: all.
    Result<std::vector<Placement>> take(Extents wanted, const std::vector<std::int64_t>& only,
                                        const Placement* after = nullptr);

    // The same as one run: the one behind `after`, or without it the smallest that is long enough.
    Result<Placement> take_run(Extents wanted, const std::vector<std::int64_t>& only,
                               const Placement* after = nullptr);

private:
    std::vector<Placement> runs_;  // in order of PV and place
};

}  // namespace thinvol
