// MetadataSpaceMap: how often each metadata block is referenced, and which may be allocated.
//
// All counts are in memory: the format allows 4161600 blocks, so they fit. Changing a count
// therefore never needs a block of its own; the bitmaps are written out once, when a transaction is
// sealed.
//
// Units       metadata blocks
// Invariants  (1) allocate() returns a block that is free in the open, the sealed and the durable
//                 transaction and in every pinned one (C4)
//             (2) a block is fresh while the open transaction is the one that allocated it
// Errors      corrupt: what was loaded contradicts itself, or a count would fall below 0
// Threads     externally synchronised (the metadata executor)
// Source      dm-space-map-metadata.c; this is the "batch" way of dm-thin-format section 6.7
#pragma once

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/block_cache.h"
#include "engine/pending_frees.h"
#include "engine/superblock.h"

namespace thinvol {

// Free blocks of a metadata device at which the kernel target tells that it runs low.
constexpr MetadataBlocks low_water_of_metadata(MetadataBlocks size) {
    return MetadataBlocks(std::min<std::uint64_t>(1024, size.n / 4));
}
// Kept back, so that freeing always works: as dm-thin, a tenth of the device and 16 MiB at most.
constexpr MetadataBlocks metadata_reserve(MetadataBlocks size) {
    return MetadataBlocks(std::min<std::uint64_t>(4096, size.n / 10));
}

class MetadataSpaceMap {
public:
    // A map in which only block 0, the superblock, is in use.
    static MetadataSpaceMap empty(MetadataBlocks size);
    // Reads the index, every bitmap and the overflow tree.
    static Result<MetadataSpaceMap> load(BlockCache& cache, const SpaceMapRoot& root);

    std::uint32_t count(MetadataBlock b) const;
    bool fresh(MetadataBlock b) const { return b.n < fresh_.size() && fresh_[b.n]; }
    MetadataBlocks size() const { return MetadataBlocks(counts_.size()); }
    MetadataBlocks free() const { return size() - MetadataBlocks(used_); }
    // What allocate() could hand out now: free() without the blocks that wait for a commit.
    MetadataBlocks allocatable() const { return MetadataBlocks(allocatable_count_); }

    std::optional<MetadataBlock> allocate();  // count 0 -> 1
    Result<> increment(MetadataBlock b);
    Result<> decrement(MetadataBlock b, CommitNumber open);
    // Replaces a count that was found to be wrong, before anything else happens to the map.
    void correct(MetadataBlock b, std::uint32_t right);
    void grow(MetadataBlocks size);
    // See PendingFrees::settle.
    void settle(CommitNumber durable, CommitNumber oldest_pin);

    // For sealing: what has to be written. take_overflow_changes() gives block -> whether the
    // overflow tree on disk has an entry for it.
    std::unordered_map<std::uint64_t, bool> take_overflow_changes() {
        return std::exchange(overflow_changes_, {});
    }
    bool has_overflow_changes() const { return !overflow_changes_.empty(); }
    std::uint32_t bitmaps() const { return static_cast<std::uint32_t>(bitmap_at_.size()); }
    bool dirty(std::uint32_t bitmap) const { return dirty_[bitmap]; }
    MetadataBlock bitmap_at(std::uint32_t bitmap) const { return bitmap_at_[bitmap]; }
    void set_bitmap_at(std::uint32_t bitmap, MetadataBlock at) { bitmap_at_[bitmap] = at; }
    MetadataBlock index_at() const { return index_at_; }
    void set_index_at(MetadataBlock at) { index_at_ = at; }
    MetadataBlock overflow_root() const { return overflow_root_; }
    void set_overflow_root(MetadataBlock at) { overflow_root_ = at; }
    // Fills a bitmap block and the index from the counts.
    void encode_bitmap(std::uint32_t bitmap, std::byte* block) const;
    void encode_index(std::byte* block) const;
    // The transaction was sealed: nothing is dirty or fresh any more.
    void sealed();

private:
    explicit MetadataSpaceMap(MetadataBlocks size);
    void set_count(MetadataBlock b, std::uint32_t value);
    void set_allocatable(std::uint64_t b, bool value);
    Result<> load_bitmap(BlockCache& cache, std::uint32_t bitmap);
    Result<> load_overflow(BlockCache& cache, MetadataBlock node, unsigned depth,
                           std::uint64_t& entries);

    static constexpr std::uint8_t in_large = 255;
    std::vector<std::uint8_t> counts_;  // in_large: see large_
    std::unordered_map<std::uint64_t, std::uint32_t> large_;
    std::vector<std::uint64_t> allocatable_;  // a bit a block
    std::vector<bool> fresh_;
    std::vector<MetadataBlock> fresh_list_;  // may hold blocks that are no longer fresh
    std::uint64_t used_ = 0;
    std::uint64_t allocatable_count_ = 0;
    std::uint64_t cursor_ = 0;
    PendingFrees<MetadataBlock> pending_;

    std::vector<MetadataBlock> bitmap_at_;  // 0: not placed yet
    std::vector<bool> dirty_;
    MetadataBlock index_at_{};
    MetadataBlock overflow_root_{};
    std::unordered_map<std::uint64_t, bool> overflow_changes_;
};

}  // namespace thinvol
