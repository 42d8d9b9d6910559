// ExclusiveCounter: what would come free if a set of volumes went: their removal, played through
// without changing anything.
//
// Units       data blocks, metadata blocks
// Invariants  (1) as removal does, it goes below a node only when the last reference to it goes:
//                 the cost is that of the nodes that would be freed, and of their children
//             (2) a set's number is exact, and at least the sum of its members' numbers: what only
//                 members share comes free too
//             (3) reads only; the device must not change meanwhile (a pinned transaction, or an
//                 owner's lock), and then stays right under I/O
//             (4) memory: a byte for each metadata block, one for each data block of those bitmaps
//                 whose blocks the freed leaves share, and a bounded cache of blocks
// Errors      corrupt, naming the block; not_found; io_error
// Threads     one
// Source      drivers/md/persistent-data/dm-btree.c, dm_btree_del
#pragma once

#include <memory>

#include "engine/block_tally.h"
#include "engine/volume_list.h"

namespace thinvol {

class ExclusiveCounter {
public:
    static Result<std::unique_ptr<ExclusiveCounter>> open(BlockQueue& device);

    const std::vector<ListedVolume>& volumes() const { return volumes_; }
    const Superblock& superblock() const { return superblock_; }

    struct Freed {
        DataBlocks data;
        MetadataBlocks metadata;
    };
    Result<Freed> freed_with(std::span<const ThinId> set);
    Result<std::optional<VirtualBlock>> highest_mapped(const ListedVolume& volume);

private:
    ExclusiveCounter(BlockQueue& device, const Superblock& superblock, MetadataSpaceMap map);
    Result<> drop_node(MetadataBlock at, unsigned depth);
    Result<> drop_data(DataBlock b);
    void forget();

    Superblock superblock_;
    BlockCache cache_;
    TransactionManager tm_;
    DataSpaceMap data_;
    BTree<MappingValue> mappings_{tm_, MappingValue{nullptr}};
    std::vector<ListedVolume> volumes_;

    // Of the removal that is being played through.
    Freed freed_{};
    std::optional<BlockTally> dropped_data_;
    std::unordered_map<std::uint64_t, std::uint32_t> dropped_nodes_;  // shared ones
};

}  // namespace thinvol
