// BulkBlocks: new metadata blocks one behind the other, written in large pieces; and the trees that
// are built of them from the leaves up.
//
// Units       metadata blocks
// Invariants  (1) block 0 is not among them: the superblock is its writer's own business
//             (2) when the device is full, blocks are counted on and no longer written, so that the
//                 size that was needed can be said at the end
//             (3) nodes are full but the last two of a level, which have a third at least: the
//                 format's rule for all but roots
// Errors      io_error
// Threads     one
// Source      drivers/md/persistent-data/dm-btree.c for (3)
#pragma once

#include <vector>

#include "engine/block_queue.h"
#include "engine/node.h"

namespace thinvol {

class BulkBlocks {
public:
    explicit BulkBlocks(BlockQueue& device);

    // A zeroed block with its number set, to be filled before the next call of any function.
    Result<std::byte*> add(BlockKind kind);
    MetadataBlock last() const { return MetadataBlock(next_ - 1); }  // what add() gave
    MetadataBlocks used() const { return MetadataBlocks(next_); }
    MetadataBlocks size() const { return size_; }  // what of the device the format can use
    bool too_small() const { return next_ > size_.n; }
    // A block that was added, written or not; not when the device is too small.
    Result<> read_back(MetadataBlock at, BlockKind kind, BlockBytes into);
    // Writes what is left. Not durable yet.
    Result<> flush();

private:
    void seal_last();

    BlockQueue& device_;
    MetadataBlocks size_;
    std::uint64_t next_ = 1;
    std::uint64_t first_ = 1;  // the block that lies at the beginning of the buffer
    BlockKind kind_{};
    bool open_ = false;  // the last block still lacks its checksum
    std::vector<std::byte> memory_;
    std::byte* buffer_;
};

// How many of `left` entries the next node of a level takes: see (3).
std::uint32_t next_node_size(std::uint64_t left, std::uint32_t max);

// A tree of entries that come in the order of their keys; memory for two leaves.
class BulkTree {
public:
    BulkTree(BulkBlocks& blocks, BlockKind kind, std::uint32_t value_size);
    Result<> add(std::uint64_t key, const void* value);
    // The root.
    Result<MetadataBlock> finish();

private:
    Result<> emit(std::uint32_t n);

    BulkBlocks& blocks_;
    BlockKind kind_;
    std::uint32_t value_size_;
    std::uint32_t max_;
    std::vector<std::uint64_t> keys_;
    std::vector<std::byte> values_;
    std::vector<struct BulkChild> leaves_;
};

// A node and the first of its keys, for the level above.
struct BulkChild {
    std::uint64_t key = 0;
    MetadataBlock at{};
};
// The levels above nodes of one tree; the root is the node itself where there is one only.
Result<MetadataBlock> build_upwards(BulkBlocks& blocks, BlockKind kind,
                                    std::vector<BulkChild> level);

}  // namespace thinvol
