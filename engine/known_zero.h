// KnownZero: which free data blocks read as zeroes already, so that a small first write writes
// itself and not a whole block.
//
// What a file has a hole for is zero whatever was there before: nothing has to be remembered, the
// file is asked. A block that was freed and punched is a hole again. Holes are large: one is asked
// for and serves the blocks in it one after the other.
//
// Units       data blocks; sectors of the data device
// Invariants  (1) nothing that was written since is remembered as zero, free or not: a mapped
//                 block may be a hole, be written, freed, and come back with its data
//             (2) what is remembered lies within the pool's data blocks, which nobody else writes
// Errors      none: what is not known is not zero
// Threads     as the queue's
// Source      lseek(2), SEEK_DATA
#pragma once

#include <algorithm>

#include "engine/block_queue.h"

namespace thinvol {

class KnownZero {
public:
    KnownZero(BlockQueue& data, Sectors block_size) : data_(data), block_size_(block_size) {}

    // `block` is reserved, no request to it is in flight, and one will be made now. The pool has
    // `blocks` of them.
    bool take(DataBlock block, DataBlocks blocks);
    // Before anything is written to the data device.
    void written(Sector at, Sectors length) {
        if (at >= end_ || at + length <= begin_) return;
        begin_ = std::min(at + length, end_);
    }

private:
    BlockQueue& data_;
    Sectors block_size_;
    // The hole, as far as it is remembered.
    Sector begin_{};
    Sector end_{};
};

}  // namespace thinvol
