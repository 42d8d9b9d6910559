// delta: how the mappings of two volumes differ.
//
// Units       virtual blocks, data blocks
// Invariants  (1) runs come in ascending order, do not overlap, and are as long as they can be: of
//                 one kind, with consecutive virtual blocks and data blocks
//             (2) mappings are the same if their data block is; their time does not count
//             (3) holds two paths of a tree; a leaf that both share is read once
// Errors      corrupt, naming the block; io_error; and whatever the sink returns
// Threads     one
// Source      thin_delta(8)
#pragma once

#include <functional>

#include "engine/thin_metadata.h"

namespace thinvol {

struct DeltaRun {
    enum class Kind { same, different, left_only, right_only } kind = Kind::same;
    VirtualBlock begin{};
    DataBlock left{};   // where begin is mapped, unless right_only
    DataBlock right{};  // unless left_only
    std::uint64_t length = 0;
};
using DeltaSink = std::function<Result<>(const DeltaRun&)>;

// Of two roots of mapping trees below that superblock.
Result<> compare_volumes(BlockQueue& device, const Superblock& superblock, MetadataBlock left,
                         MetadataBlock right, const DeltaSink& sink);

}  // namespace thinvol
