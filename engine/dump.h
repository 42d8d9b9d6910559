// dump: a pool's metadata as the blocks that are in use.
//
// Units       metadata blocks
// Invariants  reads only; the device must not change meanwhile
// Errors      corrupt, naming the block; io_error; and whatever the sink returns
// Threads     one
// Source      none
#pragma once

#include <functional>
#include <span>

#include "engine/block_queue.h"

namespace thinvol {

// Calls copy(block, bytes) for each metadata block in use, the superblock last: writing them to an
// empty device of the same size gives metadata that any tool accepts.
using BlockSink = std::function<Result<>(MetadataBlock, std::span<const std::byte>)>;
Result<> dump_raw(BlockQueue& device, const BlockSink& sink);

}  // namespace thinvol
