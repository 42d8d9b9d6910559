// TransactionManager: allocates, shadows and releases metadata blocks within the open transaction.
//
// Units       metadata blocks
// Invariants  (1) a block is changed in place only if the open transaction allocated it and nothing
//                 else refers to it; otherwise shadow() gives a copy to change
//             (2) whether a block is shared is asked before its count falls: the copy's children
//                 gain a reference exactly if the original keeps its own
//             (3) nothing is allocated between the sealing of the space map and the next
//                 transaction
// Errors      out_of_space; corrupt; io_error. A failure in the middle of an operation leaves the
//             open transaction unusable: whoever sees it aborts (C8). Callers ask room_for() first,
//             so that running out of space is never found in the middle.
// Threads     externally synchronised (the metadata executor)
// Source      drivers/md/persistent-data/dm-transaction-manager.h
#pragma once

#include "engine/block_cache.h"
#include "engine/metadata_space_map.h"
#include "engine/node.h"

namespace thinvol {

class TransactionManager {
public:
    TransactionManager(BlockCache& cache, MetadataSpaceMap space_map, CommitNumber open)
        : cache_(cache), space_map_(std::move(space_map)), open_(open) {}

    Result<Frame*> read(MetadataBlock at, BlockKind kind) { return cache_.read(at, kind); }
    // A zeroed block of that kind, referenced once.
    Result<Frame*> create(BlockKind kind);
    Result<Frame*> create_node(BlockKind kind, std::uint32_t leaf_value_size);

    struct Shadow {
        Frame* frame;
        bool was_shared;  // the caller now increments what the copy refers to (2)
    };
    Result<Shadow> shadow(MetadataBlock at, BlockKind kind);
    // In place for the rest of this transaction?
    bool in_place(MetadataBlock at) const {
        return space_map_.fresh(at) && space_map_.count(at) <= 1;
    }

    std::uint32_t count(MetadataBlock at) const { return space_map_.count(at); }
    // at is inside the device: what a tree on disk claims must be asked before count() and
    // increment().
    Result<> check_inside(MetadataBlock at) const;
    Result<> increment(MetadataBlock at);
    Result<> decrement(MetadataBlock at);

    CommitNumber open() const { return open_; }
    MetadataSpaceMap& space_map() { return space_map_; }
    const MetadataSpaceMap& space_map() const { return space_map_; }
    BlockCache& cache() { return cache_; }

    // Places every changed bitmap and the index and fills them (3); nothing may be allocated
    // afterwards until begin(). Returns what the superblock says about the metadata space map.
    Result<SpaceMapRoot> seal_space_map();
    void begin(CommitNumber open) { open_ = open; }

private:
    Result<> seal_overflow_tree();

    BlockCache& cache_;
    MetadataSpaceMap space_map_;
    CommitNumber open_;
};

}  // namespace thinvol
