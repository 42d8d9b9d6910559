// NodeReader: nodes of a device that does not change, read one by one or many at once.
//
// Units       metadata blocks
// Invariants  every node given was checked: checksum, own number, shape
// Errors      corrupt and io_error, naming the block
// Threads     one
// Source      none
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/block_cache.h"
#include "engine/node.h"

namespace thinvol {

class NodeReader {
public:
    NodeReader(BlockQueue& device, MetadataBlocks size);

    // Valid until the next call.
    Result<NodeView> read(MetadataBlock at, BlockKind kind);
    // Calls use(node, at) for each, in the order given, reading ahead.
    using Use = std::function<Result<>(const NodeView&, MetadataBlock)>;
    Result<> read_all(std::span<const MetadataBlock> blocks, BlockKind kind, const Use& use);
    // Calls use() for the leaves of a small tree, in the order of their keys; a key range that
    // contradicts the nodes above is corrupt.
    Result<> leaves(MetadataBlock root, BlockKind kind, const Use& use);

    // Whether it is on the device.
    Result<> check(MetadataBlock at) const;

private:
    Result<> below(MetadataBlock at, BlockKind kind, std::uint64_t& next_key, unsigned depth,
                   const Use& use);
    Result<> read_batch(std::span<const MetadataBlock> blocks, BlockKind kind, const Use& use);

    BlockQueue& device_;
    MetadataBlocks size_;
    std::vector<std::byte> memory_;
    std::byte* buffer_;
};

}  // namespace thinvol
