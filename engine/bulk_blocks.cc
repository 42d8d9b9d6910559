#include "engine/bulk_blocks.h"

#include <algorithm>
#include <cstring>

#include "engine/block_cache.h"

namespace thinvol {
namespace {

constexpr std::uint64_t buffer_blocks = 256;

}  // namespace

BulkBlocks::BulkBlocks(BlockQueue& device)
    : device_(device),
      size_(std::min(to_metadata_blocks(device.size()), max_metadata_blocks)),
      memory_((buffer_blocks + 1) * metadata_block_bytes) {
    void* at = memory_.data();
    std::size_t space = memory_.size();
    buffer_ = static_cast<std::byte*>(
        std::align(metadata_block_bytes, buffer_blocks * metadata_block_bytes, at, space));
}

void BulkBlocks::seal_last() {
    if (!std::exchange(open_, false)) return;
    std::byte* block = buffer_ + (next_ - 1 - first_) * metadata_block_bytes;
    store_le(block, checksum_of(kind_, ConstBlockBytes(block, metadata_block_bytes)));
}

Result<> BulkBlocks::flush() {
    seal_last();
    const std::uint64_t end = std::min(next_, size_.n);
    if (end > first_) {
        const std::span<const std::byte> bytes(buffer_, (end - first_) * metadata_block_bytes);
        TRY(write_now(device_, to_sector(MetadataBlock(first_)), bytes));
    }
    first_ = next_;
    return {};
}

Result<std::byte*> BulkBlocks::add(BlockKind kind) {
    seal_last();
    if (next_ - first_ == buffer_blocks) TRY(flush());
    std::byte* block = buffer_ + (next_ - first_) * metadata_block_bytes;
    std::memset(block, 0, metadata_block_bytes);
    store_le<std::uint64_t>(block + 8, next_);
    ++next_;
    kind_ = kind;
    open_ = true;
    return block;
}

Result<> BulkBlocks::read_back(MetadataBlock at, BlockKind kind, BlockBytes into) {
    ASSERT(at < MetadataBlock(next_) && !too_small());
    seal_last();
    if (at.n >= first_) {
        std::memcpy(into.data(), buffer_ + (at.n - first_) * metadata_block_bytes, into.size());
        return {};
    }
    TRY(read_now(device_, to_sector(at), into));
    return check_block(into, at, kind);
}

std::uint32_t next_node_size(std::uint64_t left, std::uint32_t max) {
    if (left <= max) return static_cast<std::uint32_t>(left);
    if (left >= max + max / 3) return max;
    return static_cast<std::uint32_t>(left / 2);
}

BulkTree::BulkTree(BulkBlocks& blocks, BlockKind kind, std::uint32_t value_size)
    : blocks_(blocks), kind_(kind), value_size_(value_size), max_(max_entries_for(value_size)) {}

Result<> BulkTree::emit(std::uint32_t n) {
    Node leaf(TRY(blocks_.add(kind_)));
    leaf.format(true, value_size_);
    for (std::uint32_t i = 0; i < n; ++i) leaf.set_key(i, keys_[i]);
    std::copy_n(values_.begin(), std::size_t{n} * value_size_, leaf.value(0));
    leaf.set_entries(n);
    leaves_.push_back({n == 0 ? 0 : keys_.front(), blocks_.last()});
    keys_.erase(keys_.begin(), keys_.begin() + n);
    values_.erase(values_.begin(), values_.begin() + std::ptrdiff_t{n} * value_size_);
    return {};
}

Result<> BulkTree::add(std::uint64_t key, const void* value) {
    ASSERT(keys_.empty() || key > keys_.back());
    keys_.push_back(key);
    const auto* from = static_cast<const std::byte*>(value);
    values_.insert(values_.end(), from, from + value_size_);
    if (keys_.size() < max_ + max_ / 3) return {};
    return emit(max_);
}

Result<MetadataBlock> BulkTree::finish() {
    do TRY(emit(next_node_size(keys_.size(), max_)));
    while (!keys_.empty());
    return build_upwards(blocks_, kind_, std::move(leaves_));
}

Result<MetadataBlock> build_upwards(BulkBlocks& blocks, BlockKind kind,
                                    std::vector<BulkChild> level) {
    ASSERT(!level.empty());
    while (level.size() > 1) {
        std::vector<BulkChild> above;
        for (std::size_t from = 0; from < level.size();) {
            const std::uint32_t n = next_node_size(level.size() - from, max_entries_for(8));
            Node node(TRY(blocks.add(kind)));
            node.format(false, 8);
            for (std::uint32_t i = 0; i < n; ++i) {
                node.set_key(i, level[from + i].key);
                node.set_child(i, level[from + i].at);
            }
            node.set_entries(n);
            above.push_back({level[from].key, blocks.last()});
            from += n;
        }
        level = std::move(above);
    }
    return level.front().at;
}

}  // namespace thinvol
