// reverse_map: who maps the data blocks of some regions.
//
// Units       data blocks, virtual blocks
// Invariants  runs are as long as they can be, and sorted by data block, then by thin id
// Errors      corrupt, naming the block; io_error
// Threads     one
// Source      thin_rmap(8)
#pragma once

#include "engine/volume_list.h"

namespace thinvol {

struct DataRegion {
    DataBlock begin;
    DataBlock end;  // not in it
};
struct ReverseRun {
    DataBlock data;
    ThinId thin;
    VirtualBlock at;
    std::uint64_t length;
};

// Memory for all runs in the regions.
Result<std::vector<ReverseRun>> reverse_map(BlockQueue& device,
                                            std::span<const DataRegion> regions);

}  // namespace thinvol
