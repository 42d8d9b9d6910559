// DataSpaceMap: how often each data block is referenced, and which may be allocated.
//
// Units       data blocks
// Invariants  (C4) reserve() gives a block that is free in the open, the sealed and the durable
//             transaction (C5) a reservation is in memory only; the count rises with the mapping's
//             insert. So a crash leaks nothing. (C6) a block whose count fell to 0 comes back
//             through settle() and then hand_back(): between the two its owner waits for requests
//             in flight and may punch it
// Errors      out_of_space from reserve(); corrupt when a bitmap or a count contradicts what refers
//             to it
// Threads     externally synchronised (the metadata executor)
// Source      dm-space-map-disk.c, dm-space-map-common.c
//
// Bitmaps are read when first needed, so opening costs one index entry per 16320 data blocks.
#pragma once

#include <memory>
#include <unordered_map>

#include "engine/btree.h"
#include "engine/pending_frees.h"

namespace thinvol {

struct IndexValue {
    struct Type {
        MetadataBlock at;
        std::uint32_t free;
        std::uint32_t none_free_before;
    };
    static constexpr std::uint32_t size = sizeof(DiskIndexEntry);
    static constexpr BlockKind kind = BlockKind::bitmap_tree_node;
    static Type decode(const std::byte* p);
    static void encode(std::byte* p, const Type& v);
    Result<> retain(const NodeView&) { return {}; }
    Result<> release(const Type&) { return {}; }
    static bool refers_to_same(const Type&, const Type&) { return true; }
};

class DataSpaceMap {
public:
    explicit DataSpaceMap(TransactionManager& tm) : tm_(tm), tree_(tm, {}), overflow_(tm, {}) {}
    // An empty map of no blocks: its two trees are made in the open transaction.
    Result<> format();
    Result<> load(const SpaceMapRoot& root);

    DataBlocks size() const { return size_; }
    // Blocks that nothing refers to and nobody reserved; some of them only after the next commit.
    DataBlocks free() const { return size_ - DataBlocks(used_ + reserved_); }
    // What reserve() could hand out now.
    DataBlocks allocatable() const { return free() - DataBlocks(waiting_); }
    DataBlocks used() const { return DataBlocks(used_); }

    Result<DataBlock> reserve();
    // The reservation ends without a mapping.
    void unreserve(DataBlock b);

    Result<std::uint32_t> count(DataBlock b);
    // Cheaper: 3 stands for what is more, too.
    Result<std::uint32_t> count_up_to_three(DataBlock b);
    Result<> increment(DataBlock b);  // of a reserved block: 0 -> 1, the reservation is used up
    Result<> decrement(DataBlock b);

    // Replace what was found to be wrong, before anything else happens to the map: a count, and
    // what the index says of a bitmap.
    Result<> correct(DataBlock b, std::uint32_t right) {
        return store_count(b, TRY(count(b)), right);
    }
    Result<> correct_index(std::uint64_t bitmap);

    // Blocks freed in commits that are durable and unpinned; the caller owes each a hand_back().
    std::vector<DataBlock> settle(CommitNumber durable, CommitNumber oldest_pin) {
        return pending_.settle(durable, oldest_pin);
    }
    void hand_back(DataBlock b);
    // Blocks that will come back without anybody doing more than committing and waiting.
    DataBlocks coming_back() const { return DataBlocks(waiting_); }

    Result<> grow(DataBlocks size);
    // How many bitmaps the open transaction has not copied yet: each may cost it one metadata
    // block.
    std::uint64_t bitmaps_not_in_place() const { return index_.size() - dirty_list_.size(); }
    std::uint64_t dirty_bitmaps() const { return dirty_list_.size(); }
    MetadataBlock overflow_root() const { return overflow_root_; }
    // Writes changed index entries to the tree; part of sealing.
    Result<SpaceMapRoot> seal();

private:
    struct Index {
        IndexValue::Type entry;
        std::uint32_t busy = 0;  // free entries that are reserved or wait
        bool dirty = false;      // changed, and in place, in the open transaction
    };
    struct Busy {  // a bit an entry, at even positions as in bitmap_used()
        std::array<std::uint64_t, words_per_bitmap> bits{};
    };
    Result<> check_inside(DataBlock b) const;
    Result<Frame*> bitmap(std::uint64_t i) {
        return tm_.read(index_[i].entry.at, BlockKind::bitmap);
    }
    Result<Frame*> changeable_bitmap(std::uint64_t i);
    Result<> store_count(DataBlock b, std::uint32_t old, std::uint32_t now);
    Result<std::optional<DataBlock>> find_free(std::uint64_t i, std::uint32_t from);
    Result<> recount_last();
    void set_busy(DataBlock b);
    void clear_busy(DataBlock b);

    TransactionManager& tm_;
    BTree<IndexValue> tree_;
    BTree<OverflowValue> overflow_;
    MetadataBlock tree_root_{};
    MetadataBlock overflow_root_{};
    std::vector<Index> index_;
    std::vector<std::uint64_t> dirty_list_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Busy>>
        busy_;  // by bitmap; only while any bit is set
    DataBlocks size_{};
    std::uint64_t used_ = 0;
    std::uint64_t reserved_ = 0;
    std::uint64_t waiting_ = 0;
    std::uint64_t cursor_ = 0;
    PendingFrees<DataBlock> pending_;
};

}  // namespace thinvol
