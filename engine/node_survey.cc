#include "engine/node_survey.h"

#include <algorithm>

namespace thinvol {
namespace {

constexpr std::uint64_t blocks_at_once = 256;

}  // namespace

Result<std::unique_ptr<NodeSurvey>> NodeSurvey::of(BlockQueue& device) {
    const MetadataBlocks size = std::min(to_metadata_blocks(device.size()), max_metadata_blocks);
    std::unique_ptr<NodeSurvey> survey(new NodeSurvey(device, size));
    std::vector<std::byte> memory((blocks_at_once + 1) * metadata_block_bytes);
    void* aligned = memory.data();
    std::size_t space = memory.size();
    auto* bytes = static_cast<std::byte*>(
        std::align(metadata_block_bytes, blocks_at_once * metadata_block_bytes, aligned, space));
    for (std::uint64_t first = 0; first < size.n; first += blocks_at_once) {
        const std::uint64_t n = std::min(blocks_at_once, size.n - first);
        const auto all = read_now(device, to_sector(MetadataBlock(first)),
                                  std::span(bytes, n * metadata_block_bytes));
        for (std::uint64_t i = 0; i < n; ++i) {
            const BlockBytes block(bytes + i * metadata_block_bytes, metadata_block_bytes);
            const MetadataBlock at(first + i);
            // A part of the device that cannot be read: block by block.
            if (!all && !read_now(device, to_sector(at), block)) continue;
            survey->look_at(at, block);
        }
    }
    return survey;
}

void NodeSurvey::look_at(MetadataBlock at, ConstBlockBytes block) {
    const std::byte* p = block.data();
    if (load_le<std::uint64_t>(p + 8) != at.n) return;
    const auto checksum = load_le<std::uint32_t>(p);
    if (at.n != 0 &&
        load_le<std::uint64_t>(p + offsetof(DiskSuperblock, magic)) == superblock_magic &&
        checksum == checksum_of(BlockKind::superblock, block)) {
        superblock_copies_.push_back(at);
        return;
    }
    const NodeView node(p);
    const std::uint32_t value_size = node.value_size();
    if (value_size != 4 && value_size != 8 && value_size != 16 && value_size != 24) return;
    if (checksum != checksum_of(BlockKind::mapping_node, block)) return;
    if (!check_node(block, value_size)) return;
    Facts& facts = facts_[at.n];
    facts.entries = static_cast<std::uint16_t>(node.entries());
    if (facts.entries > 0) {
        facts.first = node.key(0);
        facts.last = node.key(facts.entries - 1U);
    }
    if (!node.is_leaf()) facts.kind = Kind::internal;
    else if (value_size == 8) facts.kind = Kind::numbers_leaf;
    else facts.kind = value_size == sizeof(DiskDetails) ? Kind::details_leaf : Kind::other_leaf;
}

std::vector<NodeSurvey::Child> NodeSurvey::children_of(MetadataBlock at, KeyRange keys) {
    std::vector<Child> children;
    const auto node = reader_.read(at, BlockKind::mapping_node);
    if (!node) return children;
    for (std::uint32_t i = 0; i < node->entries(); ++i) {
        const bool is_last = i + 1 == node->entries();
        children.push_back(
            {node->child(i), {node->key(i), is_last ? keys.last : node->key(i + 1) - 1}});
    }
    return children;
}

// (2) without the range.
void NodeSurvey::judge(MetadataBlock at, unsigned depth) {
    Facts& facts = facts_[at.n];
    facts.state = State::at_work;  // a cycle meets this, and is not usable
    bool found = false;
    if (facts.kind == Kind::numbers_leaf) {
        facts.mappings = facts.entries;
        found = true;
    } else if (facts.kind == Kind::internal && depth < max_tree_depth) {
        for (const Child& child : children_of(at, {})) {
            const Facts* below = usable(child.at, child.keys, depth + 1);
            if (below != nullptr && !found) facts.height = below->height + 1U;
            found = found || below != nullptr;
            if (below == nullptr || below->height + 1 != facts.height) {
                facts.whole = false;
                facts.overtaken =
                    facts.overtaken || below != nullptr || overtaken(child.at, child.keys);
                continue;
            }
            facts.overtaken = facts.overtaken || below->overtaken;
            facts.mappings += below->mappings;
            facts.whole = facts.whole && below->whole;
        }
    }
    facts.state = found ? State::usable : State::unusable;
}

const NodeSurvey::Facts* NodeSurvey::usable(MetadataBlock at, KeyRange keys, unsigned depth) {
    if (at.n == 0 || at.n >= facts_.size()) return nullptr;
    const Facts& facts = facts_[at.n];
    if (facts.state == State::unknown) judge(at, depth);
    if (facts.state != State::usable) return nullptr;
    if (facts.entries > 0 && (facts.first < keys.first || facts.last > keys.last)) return nullptr;
    return &facts;
}

std::optional<NodeSurvey::Below> NodeSurvey::mappings_below(MetadataBlock at, KeyRange keys) {
    const Facts* facts = usable(at, keys, 0);
    if (facts == nullptr) return std::nullopt;
    return Below{facts->height, facts->mappings, facts->whole};
}

bool NodeSurvey::overtaken(MetadataBlock at, KeyRange keys) {
    if (at.n == 0 || at.n >= facts_.size()) return true;
    const Facts* below = usable(at, keys, 0);
    const Facts& facts = facts_[at.n];
    if (below != nullptr || facts.kind == Kind::none) return facts.overtaken;
    return facts.state == State::usable || facts.kind != Kind::internal || facts.overtaken;
}

bool NodeSurvey::follow(MetadataBlock at, std::optional<unsigned> height, KeyRange keys) {
    const Facts* facts = usable(at, keys, 0);
    return facts != nullptr && (!height || facts->height == *height);
}

void NodeSurvey::lost_below(MetadataBlock at, KeyRange keys, std::size_t most,
                            std::vector<KeyRange>& lost) {
    const Facts* facts = usable(at, keys, 0);
    if (facts == nullptr) {
        if (lost.empty() || lost.back().last + 1 != keys.first) lost.push_back(keys);
        else lost.back().last = keys.last;
        return;
    }
    if (facts->whole || facts->height == 0) return;
    for (const Child& child : children_of(at, keys)) {
        if (lost.size() > most) return;
        const Facts* below = usable(child.at, child.keys, 0);
        const bool belongs = below != nullptr && below->height + 1 == facts->height;
        lost_below(belongs ? child.at : MetadataBlock(0), child.keys, most, lost);
    }
}

}  // namespace thinvol
