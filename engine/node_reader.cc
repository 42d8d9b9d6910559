#include "engine/node_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace thinvol {
namespace {

constexpr std::size_t batch_blocks = 256;

}  // namespace

NodeReader::NodeReader(BlockQueue& device, MetadataBlocks size)
    : device_(device), size_(size), memory_((batch_blocks + 2) * metadata_block_bytes) {
    void* at = memory_.data();
    std::size_t space = memory_.size();
    buffer_ = static_cast<std::byte*>(
        std::align(metadata_block_bytes, (batch_blocks + 1) * metadata_block_bytes, at, space));
}

Result<> NodeReader::check(MetadataBlock at) const {
    if (at < end_of(size_)) return {};
    return Error(Errc::corrupt,
                 fmt::format("metadata block {} is outside the device of {} blocks", at, size_));
}

Result<NodeView> NodeReader::read(MetadataBlock at, BlockKind kind) {
    TRY(check(at));
    std::byte* bytes = buffer_ + batch_blocks * metadata_block_bytes;
    const BlockBytes block(bytes, metadata_block_bytes);
    auto outcome = read_now(device_, to_sector(at), block);
    if (outcome) outcome = check_block(block, at, kind);
    TRY(within(fmt::format("metadata block {}", at), std::move(outcome)));
    return NodeView(bytes);
}

Result<> NodeReader::read_all(std::span<const MetadataBlock> blocks, BlockKind kind,
                              const Use& use) {
    while (!blocks.empty()) {
        const std::size_t n = std::min(blocks.size(), batch_blocks);
        TRY(read_batch(blocks.first(n), kind, use));
        blocks = blocks.subspan(n);
    }
    return {};
}

// Neighbours on the device are read in one piece.
Result<> NodeReader::read_batch(std::span<const MetadataBlock> blocks, BlockKind kind,
                                const Use& use) {
    std::array<std::uint32_t, batch_blocks> sorted;
    const std::span order(sorted.data(), blocks.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return blocks[a] < blocks[b]; });
    std::array<std::uint32_t, batch_blocks> place;
    for (std::size_t from = 0; from < order.size();) {
        const MetadataBlock first = blocks[order[from]];
        std::size_t to = from;
        while (to < order.size() && blocks[order[to]].n == first.n + (to - from)) {
            TRY(check(blocks[order[to]]));
            place[order[to]] = static_cast<std::uint32_t>(to);
            ++to;
        }
        const std::span<std::byte> bytes(buffer_ + from * metadata_block_bytes,
                                         (to - from) * metadata_block_bytes);
        TRY(within(fmt::format("metadata block {}", first),
                   read_now(device_, to_sector(first), bytes)));
        from = to;
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        std::byte* bytes = buffer_ + place[i] * metadata_block_bytes;
        if (auto sound = check_block(ConstBlockBytes(bytes, metadata_block_bytes), blocks[i], kind);
            !sound)
            return std::move(sound).error().prefixed(fmt::format("metadata block {}", blocks[i]));
        TRY(use(NodeView(bytes), blocks[i]));
    }
    return {};
}

Result<> NodeReader::leaves(MetadataBlock root, BlockKind kind, const Use& use) {
    std::uint64_t next_key = 0;
    return below(root, kind, next_key, 0, use);
}

Result<> NodeReader::below(MetadataBlock at, BlockKind kind, std::uint64_t& next_key,
                           unsigned depth, const Use& use) {
    const auto bad = [&](std::string text) {
        return Error(Errc::corrupt, fmt::format("metadata block {}: {}", at, text));
    };
    if (depth > max_tree_depth) return bad("the tree above it is too deep");
    const NodeView node = TRY(read(at, kind));
    const std::uint32_t n = node.entries();
    if (n > 0 && node.key(0) < next_key)
        return bad(fmt::format("key {} comes after {}", node.key(0), next_key - 1));
    if (node.is_leaf()) {
        if (n > 0) next_key = node.key(n - 1) + 1;
        return use(node, at);
    }
    std::vector<MetadataBlock> children(n);
    std::vector<std::uint64_t> keys(n);
    for (std::uint32_t i = 0; i < n; ++i) {
        children[i] = node.child(i);
        keys[i] = node.key(i);
    }
    for (std::uint32_t i = 0; i < n; ++i) {
        if (keys[i] < next_key)
            return bad(fmt::format("key {} comes after {}", keys[i], next_key - 1));
        next_key = keys[i];
        TRY(below(children[i], kind, next_key, depth + 1, use));
    }
    return {};
}

}  // namespace thinvol
