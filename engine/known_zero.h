// KnownZero: which free data blocks read as zeroes already, so that a small first write writes
// itself and not a whole block.
//
// What a file has a hole for is zero whatever was there before: nothing has to be remembered, the
// file is asked. A block that was freed and punched is a hole again. Holes are large: one is asked
// for and serves the blocks in it one after the other.
//
// Units       data blocks; sectors of the data device
// Invariants  (1) a block that came back since is remembered as zero no more: it may have been a
//                 mapped hole when the file was asked, and written before it was freed
//             (2) what is remembered lies within the pool's data blocks, which nobody else writes
// Errors      none: what is not known is not zero
// Threads     as the queue's
// Source      lseek(2), SEEK_DATA
#pragma once

#include "engine/block_queue.h"

namespace thinvol {

class KnownZero {
public:
    KnownZero(BlockQueue& data, Sectors block_size) : data_(data), block_size_(block_size) {}

    // `block` is reserved, no request to it is in flight, and one will be made now. The pool has
    // `blocks` of them.
    bool take(DataBlock block, DataBlocks blocks);
    // [first, first + length) were freed and are about to be free again.
    void came_back(DataBlock first, DataBlocks length) {
        const Sector at(first.n * block_size_.n);
        if (at < end_ && at + block_size_ * length.n > begin_) end_ = begin_;
    }

private:
    BlockQueue& data_;
    Sectors block_size_;
    // The hole, as far as it is remembered.
    Sector begin_{};
    Sector end_{};
};

}  // namespace thinvol
