#include "engine/known_zero.h"

namespace thinvol {

bool KnownZero::take(DataBlock block, DataBlocks blocks) {
    const Sector at(block.n * block_size_.n);
    if (at < begin_ || at >= end_) {
        const Sectors most((blocks.n - block.n) * block_size_.n);
        const Sectors zeroes = data_.zeroes_at(at, most);
        begin_ = at;
        end_ = at + zeroes;
    }
    if (end_ - at < block_size_) return false;
    begin_ = at + block_size_;
    return true;
}

}  // namespace thinvol
