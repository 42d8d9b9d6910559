#include "engine/exclusive.h"

#include <fmt/format.h>

#include "engine/bitmap.h"

namespace thinvol {
namespace {

constexpr std::size_t cached_blocks = 4096;

}  // namespace

ExclusiveCounter::ExclusiveCounter(BlockQueue& device, const Superblock& superblock,
                                   MetadataSpaceMap map)
    : superblock_(superblock),
      cache_(device, MetadataBlocks(superblock.metadata_space_map.blocks), cached_blocks),
      tm_(cache_, std::move(map), CommitNumber(0)),
      data_(tm_) {}

Result<std::unique_ptr<ExclusiveCounter>> ExclusiveCounter::open(BlockQueue& device) {
    const Superblock superblock = TRY(Superblock::read(device));
    BlockCache loading(device, MetadataBlocks(superblock.metadata_space_map.blocks), 0);
    auto map = TRY(MetadataSpaceMap::load(loading, superblock.metadata_space_map));
    std::unique_ptr<ExclusiveCounter> counter(
        new ExclusiveCounter(device, superblock, std::move(map)));
    TRY(counter->data_.load(superblock.data_space_map));
    counter->volumes_ = TRY(list_volumes(device, superblock));
    return counter;
}

Result<ExclusiveCounter::Freed> ExclusiveCounter::freed_with(std::span<const ThinId> set) {
    forget();
    std::map<std::uint32_t, MetadataBlock> roots;  // by id, each once; two may have one root
    for (const ThinId id : set) {
        const ListedVolume* volume = TRY(find_listed(volumes_, id));
        roots.emplace(id.n(), volume->root);
    }
    for (const auto& [id, root] : roots) TRY(drop_node(root, 0));
    return freed_;
}

void ExclusiveCounter::forget() {
    freed_ = {};
    dropped_data_.emplace(superblock_.data_space_map.blocks);
    dropped_nodes_.clear();
    cache_.trim();
}

Result<> ExclusiveCounter::drop_node(MetadataBlock at, unsigned depth) {
    TRY(tm_.check_inside(at));
    const std::uint32_t count = tm_.count(at);
    const bool too_many = freed_.metadata >= tm_.space_map().size();
    if (count == 0 || depth > max_tree_depth || too_many)
        return Error(Errc::corrupt, fmt::format("metadata block {} is in use but counted as free, "
                                                "or part of a cycle",
                                                at));
    if (count > 1 && ++dropped_nodes_[at.n] < count) return {};
    freed_.metadata += MetadataBlocks(1);
    std::vector<MetadataBlock> children;
    {
        Frame* frame = TRY(tm_.read(at, BlockKind::mapping_node));
        const NodeView node(frame->bytes);
        for (std::uint32_t i = 0; i < node.entries(); ++i) {
            if (node.is_leaf()) TRY(drop_data(MappingValue::decode(node.value(i)).block));
            else children.push_back(node.child(i));
        }
    }
    for (const MetadataBlock child : children) TRY(drop_node(child, depth + 1));
    cache_.trim();
    return {};
}

Result<> ExclusiveCounter::drop_data(DataBlock b) {
    const std::uint32_t stored = TRY(data_.count_up_to_three(b));
    if (stored == 0)
        return Error(Errc::corrupt, fmt::format("data block {} is mapped but counted as free", b));
    if (stored > 1) {
        dropped_data_->add(b.n);
        const std::uint64_t dropped = dropped_data_->of(b.n);
        if (dropped < stored) return {};
        if (stored == count_in_overflow_tree && dropped < TRY(data_.count(b))) return {};
    }
    freed_.data += DataBlocks(1);
    return {};
}

Result<std::optional<VirtualBlock>> ExclusiveCounter::highest_mapped(const ListedVolume& volume) {
    const auto last = TRY(mappings_.last(volume.root));
    return last ? std::optional(VirtualBlock(last->key)) : std::nullopt;
}

}  // namespace thinvol
