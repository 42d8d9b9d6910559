// LeafCursor: the mappings of a volume in their order, for those who only read.
//
// Units       virtual blocks, data blocks
// Invariants  (1) holds the children of one path and one leaf, no frame of the cache
//             (2) keys outside of what a node's parent says end as an error, so a damaged tree ends
// Errors      corrupt, naming the block; io_error
// Threads     one
// Source      none
#pragma once

#include <array>
#include <vector>

#include "engine/thin_metadata.h"

namespace thinvol {

class LeafCursor {
public:
    LeafCursor(BlockCache& cache, MetadataBlock root);

    // Goes to a leaf with an entry left, if there is one; before the first look and after step().
    Result<> settle();
    bool at_end() const { return path_.empty() && done(); }
    bool done() const { return next_ >= leaf_.entries(); }  // with this leaf
    VirtualBlock key() const { return VirtualBlock(leaf_.key(next_)); }
    DataBlock block() const { return MappingValue::decode(leaf_.value(next_)).block; }
    void step() { ++next_; }
    // At the same entry of the same leaf as the other: so are the entries behind it.
    bool together(const LeafCursor& other) const {
        return leaf_at_ == other.leaf_at_ && next_ == other.next_;
    }

private:
    struct KeyRange {
        std::uint64_t first;
        std::uint64_t last;
    };
    struct Child {
        MetadataBlock at;
        KeyRange legal;
    };
    struct Level {
        std::vector<Child> children;
        std::size_t next;
    };
    Result<> next_leaf();

    BlockCache& cache_;
    std::vector<Level> path_;
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes_{};
    NodeView leaf_{bytes_.data()};  // all zero: no entries
    MetadataBlock leaf_at_{};
    std::uint32_t next_ = 0;
};

}  // namespace thinvol
