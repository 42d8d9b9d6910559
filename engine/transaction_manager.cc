#include "engine/transaction_manager.h"

#include <fmt/format.h>

#include "engine/btree.h"

namespace thinvol {

Result<Frame*> TransactionManager::create(BlockKind kind) {
    const auto at = space_map_.allocate();
    if (!at) {
        return Error(
            Errc::out_of_space,
            fmt::format(
                "no free metadata block: {} of {} are free, {} of them only after the next commit",
                space_map_.free(), space_map_.size(),
                space_map_.free() - space_map_.allocatable()));
    }
    return &cache_.create(*at, kind);
}

Result<Frame*> TransactionManager::create_node(BlockKind kind, std::uint32_t leaf_value_size) {
    Frame* frame = TRY(create(kind));
    Node(frame->bytes).format(true, leaf_value_size);
    return frame;
}

Result<TransactionManager::Shadow> TransactionManager::shadow(MetadataBlock at, BlockKind kind) {
    TRY(check_inside(at));
    Frame* old = TRY(cache_.read(at, kind));
    if (in_place(at)) {
        ASSERT(old->state == Frame::State::open);  // (1)
        return Shadow{old, false};
    }
    const bool was_shared = count(at) > 1;  // (2)
    Frame* copy = TRY(create(kind));
    std::memcpy(copy->bytes + 16, old->bytes + 16, metadata_block_bytes - 16);
    std::memcpy(copy->bytes, old->bytes, 8);  // checksum and flags; the block's own number stays
    if (salt_of(kind) == node_salt) Node(copy->bytes).normalise();
    TRY(decrement(at));
    return Shadow{copy, was_shared};
}

Result<> TransactionManager::check_inside(MetadataBlock at) const {
    if (at < end_of(space_map_.size())) return {};
    return Error(Errc::corrupt,
                 fmt::format("metadata block {} is outside the metadata device of {} blocks", at,
                             space_map_.size()));
}

Result<> TransactionManager::increment(MetadataBlock at) {
    TRY(check_inside(at));
    return space_map_.increment(at);
}

Result<> TransactionManager::decrement(MetadataBlock at) {
    TRY(check_inside(at));
    const bool was_fresh = space_map_.fresh(at);
    TRY(space_map_.decrement(at, open_));
    if (was_fresh && space_map_.count(at) == 0) cache_.drop_open(at);
    return {};
}

Result<> TransactionManager::seal_overflow_tree() {
    BTree<OverflowValue> tree(*this, {});
    MetadataBlock root = space_map_.overflow_root();
    for (const auto& [block, stored] : space_map_.take_overflow_changes()) {
        const std::uint32_t now = count(MetadataBlock(block));
        if (now >= 3) root = TRY(tree.insert(root, block, now)).root;
        else if (stored) root = TRY(tree.remove(root, block)).root;
    }
    space_map_.set_overflow_root(root);
    ASSERT(!space_map_.has_overflow_changes());  // the tree's own nodes are referenced once each
    return {};
}

Result<SpaceMapRoot> TransactionManager::seal_space_map() {
    TRY(seal_overflow_tree());
    Frame* index = nullptr;
    if (in_place(space_map_.index_at())) {
        index = TRY(cache_.read(space_map_.index_at(), BlockKind::metadata_index));
    } else {
        index = TRY(create(BlockKind::metadata_index));
        TRY(decrement(space_map_.index_at()));
        space_map_.set_index_at(index->at);
    }
    // Placing a bitmap changes counts, perhaps in a bitmap not placed yet: until nothing new turns
    // up. It ends, as each bitmap is placed once.
    for (bool again = true; std::exchange(again, false);) {
        for (std::uint32_t i = 0; i < space_map_.bitmaps(); ++i) {
            const MetadataBlock old = space_map_.bitmap_at(i);
            if (!space_map_.dirty(i) || (old != MetadataBlock(0) && space_map_.fresh(old)))
                continue;
            space_map_.set_bitmap_at(i, TRY(create(BlockKind::bitmap))->at);
            if (old != MetadataBlock(0)) TRY(decrement(old));
            again = true;
        }
    }
    for (std::uint32_t i = 0; i < space_map_.bitmaps(); ++i) {
        if (!space_map_.dirty(i)) continue;
        Frame* frame = TRY(cache_.read(space_map_.bitmap_at(i), BlockKind::bitmap));
        std::memset(frame->bytes + sizeof(DiskBitmapHeader), 0,
                    metadata_block_bytes - sizeof(DiskBitmapHeader));
        space_map_.encode_bitmap(i, frame->bytes);
    }
    space_map_.encode_index(index->bytes);
    ASSERT(!space_map_.has_overflow_changes());
    const SpaceMapRoot root{space_map_.size().n, (space_map_.size() - space_map_.free()).n,
                            space_map_.index_at(), space_map_.overflow_root()};
    space_map_.sealed();
    return root;
}

}  // namespace thinvol
