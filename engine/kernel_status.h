// kernel_status: a pool's and a volume's state as `dmsetup status` shows them.
//
// Units       metadata blocks, data blocks, sectors
// Invariants  the fields and their order are the kernel target's; out_of_metadata_space is its "ro"
// Errors      none
// Threads     any; pure
// Source      drivers/md/dm-thin.c pool_status(), thin_status()
#pragma once

#include <string>

#include "engine/pool.h"

namespace thinvol {

// "1 63/512 6/256 - rw discard_passdown queue_if_no_space - 128"
std::string pool_status_line(const PoolStatus& status, const PoolFeatures& features);
// "384 383": sectors mapped, the highest one or "-".
std::string thin_status_line(const Pool::VolumeUse& use, Sectors data_block_size);

}  // namespace thinvol
