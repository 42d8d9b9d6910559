#include "engine/known_zero.h"

#include <algorithm>

namespace thinvol {

bool KnownZero::take(DataBlock block, DataBlocks blocks) {
    if (block < begin_ || block >= end_) {
        const DataBlocks most = blocks - DataBlocks(block.n);
        const Sectors zeroes =
            data_.zeroes_at(Sector(block.n * block_size_.n), Sectors(most.n * block_size_.n));
        begin_ = block;
        end_ = block + DataBlocks(zeroes.n / block_size_.n);
        if (begin_ == end_) return false;
    }
    begin_ = block + DataBlocks(1);
    return true;
}

}  // namespace thinvol
