#include "engine/leaf_cursor.h"

#include <fmt/format.h>

namespace thinvol {

LeafCursor::LeafCursor(BlockCache& cache, MetadataBlock root) : cache_(cache) {
    path_.push_back({{{root, {0, ~0ULL}}}, 0});
}

Result<> LeafCursor::settle() {
    while (!at_end() && done()) TRY(next_leaf());
    return {};
}

Result<> LeafCursor::next_leaf() {
    while (!path_.empty() && path_.back().next == path_.back().children.size()) path_.pop_back();
    if (path_.empty()) return {};
    const Child child = path_.back().children[path_.back().next++];
    Frame* frame = TRY(cache_.read(child.at, BlockKind::mapping_node));
    const NodeView node(frame->bytes);
    const std::uint32_t n = node.entries();
    if (n > 0 && (node.key(0) < child.legal.first || node.key(n - 1) > child.legal.last)) {
        return Error(
            Errc::corrupt,
            fmt::format("metadata block {}: keys {} to {}, its parent says {} to {}", child.at,
                        node.key(0), node.key(n - 1), child.legal.first, child.legal.last));
    }
    if (node.is_leaf()) {
        std::memcpy(bytes_.data(), frame->bytes, metadata_block_bytes);
        leaf_at_ = child.at;
        next_ = 0;
    } else if (path_.size() > max_tree_depth) {
        return Error(Errc::corrupt, fmt::format("the tree above metadata block {} is deeper than "
                                                "{} levels",
                                                child.at, max_tree_depth));
    } else {
        Level level{{}, 0};
        for (std::uint32_t i = 0; i < n; ++i) {
            const std::uint64_t last = i + 1 < n ? node.key(i + 1) - 1 : child.legal.last;
            level.children.push_back({node.child(i), {node.key(i), last}});
        }
        path_.push_back(std::move(level));
    }
    cache_.trim();
    return {};
}

}  // namespace thinvol
