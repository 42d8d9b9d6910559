// block_sweep: many metadata blocks, read in large pieces and looked at by several workers.
//
// Units       metadata blocks
// Invariants  (1) the device is used by one worker at a time
//             (2) each block is visited once; one that cannot be read spoils no other
// Errors      visit() gets the error of a block that cannot be read
// Threads     visit() runs on all workers at once; blocks come to each of them in no useful order
// Source      none
#pragma once

#include <functional>
#include <span>

#include "engine/block_queue.h"
#include "engine/format.h"
#include "engine/workers.h"

namespace thinvol {

// `bytes` are aligned to their size, and gone when the call returns.
using SweepVisit = std::function<void(MetadataBlock at, Result<ConstBlockBytes> bytes)>;

// `blocks`: ascending, inside the device. Unchecked: what lies there is for visit() to judge.
void sweep_blocks(BlockQueue& device, Workers& workers, std::span<const MetadataBlock> blocks,
                  const SweepVisit& visit);

}  // namespace thinvol
