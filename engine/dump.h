// dump: a pool's metadata as thin_dump's XML, in the flat form that both generations of the tools
// read.
//
// Units       data blocks and virtual blocks; times of the snapshot clock
// Invariants  (1) streams: never holds more than one path of a tree and one block of text
//             (2) reads only; the device must not change meanwhile
// Errors      corrupt, naming the block; io_error; and whatever the sink returns
// Threads     one
// Source      thin-provisioning-tools thin_dump(8)
#pragma once

#include <functional>
#include <string_view>

#include "engine/block_queue.h"

namespace thinvol {

using TextSink = std::function<Result<>(std::string_view)>;

Result<> dump_xml(BlockQueue& device, const TextSink& sink);

// Calls copy(block, bytes) for each metadata block in use, the superblock last: writing them to an
// empty device of the same size gives metadata that any tool accepts.
using BlockSink = std::function<Result<>(MetadataBlock, std::span<const std::byte>)>;
Result<> dump_raw(BlockQueue& device, const BlockSink& sink);

}  // namespace thinvol
