// PendingFrees: blocks that are free now but may not be allocated yet, by the commit that freed
// them.
//
// Units       blocks of one device
// Invariants  (C4) a block freed in commit N is handed back only when N is durable and no pin holds
//             an earlier commit: until then a crash, or a reader of that commit, still needs what
//             it holds
// Errors      none
// Threads     externally synchronised
// Source      dm-space-map-disk.c: free means free in the last commit too
#pragma once

#include <deque>
#include <vector>

#include "engine/base/units.h"

namespace thinvol {

template <class Block>
class PendingFrees {
public:
    void add(CommitNumber freed_in, Block block) {
        ASSERT(batches_.empty() || batches_.back().freed_in <= freed_in);
        if (batches_.empty() || batches_.back().freed_in != freed_in)
            batches_.push_back({freed_in, {}});
        batches_.back().blocks.push_back(block);
        ++size_;
    }

    // Takes out the blocks freed in commits up to `durable` that no pin still needs; `oldest_pin`
    // is the oldest commit a reader holds, or `durable` where there is none.
    std::vector<Block> settle(CommitNumber durable, CommitNumber oldest_pin) {
        std::vector<Block> settled;
        while (!batches_.empty() && batches_.front().freed_in <= durable &&
               batches_.front().freed_in <= oldest_pin) {
            auto& blocks = batches_.front().blocks;
            size_ -= blocks.size();
            if (settled.empty()) settled = std::move(blocks);
            else settled.insert(settled.end(), blocks.begin(), blocks.end());
            batches_.pop_front();
        }
        return settled;
    }

    std::size_t size() const { return size_; }

private:
    struct Batch {
        CommitNumber freed_in;
        std::vector<Block> blocks;
    };
    std::deque<Batch> batches_;
    std::size_t size_ = 0;
};

}  // namespace thinvol
