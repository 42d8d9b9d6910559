#include "engine/repair_roots.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <unordered_set>

namespace thinvol {
namespace {

using Kind = NodeSurvey::Kind;
using Leaf = std::function<bool(const NodeView&)>;

// The leaves of one kind below a node, in order; damaged parts are left out. False: none at all, or
// `use` said no to one.
class Descent {
public:
    Descent(NodeSurvey& survey, Kind leaf, const Leaf& use)
        : survey_(survey), leaf_(leaf), use_(use) {}

    bool run(MetadataBlock at) { return below(at, {}, 0) && leaves_ > 0 && !refused_; }
    bool whole() const { return whole_; }
    const std::vector<MetadataBlock>& inner() const { return inner_; }

private:
    bool below(MetadataBlock at, KeyRange keys, unsigned depth);

    NodeSurvey& survey_;
    Kind leaf_;
    const Leaf& use_;
    std::uint64_t leaves_ = 0;
    std::uint64_t visited_ = 0;
    bool whole_ = true;
    bool refused_ = false;
    std::vector<MetadataBlock> inner_;  // all nodes but the root
};

bool Descent::below(MetadataBlock at, KeyRange keys, unsigned depth) {
    // A tree of 2^24 volumes has fewer nodes than this.
    constexpr std::uint64_t nodes_max = 1 << 19;
    if (at.n == 0 || at >= end_of(survey_.size()) || depth > max_tree_depth) return false;
    if (++visited_ > nodes_max || refused_) return false;
    if (depth > 0) inner_.push_back(at);
    const Kind kind = survey_.kind(at);
    const BlockKind as =
        leaf_ == Kind::details_leaf ? BlockKind::details_node : BlockKind::top_level_node;
    if (kind != leaf_ && kind != Kind::internal) return false;
    const auto node = survey_.reader().read(at, as);
    if (!node) return false;
    const std::uint32_t n = node->entries();
    if (n > 0 && (node->key(0) < keys.first || node->key(n - 1) > keys.last)) return false;
    if (kind == leaf_) {
        ++leaves_;
        refused_ = !use_(*node);
        return !refused_;
    }
    std::vector<std::pair<MetadataBlock, KeyRange>> children;
    for (std::uint32_t i = 0; i < n; ++i) {
        const std::uint64_t last = i + 1 == n ? keys.last : node->key(i + 1) - 1;
        children.push_back({node->child(i), {node->key(i), last}});
    }
    for (const auto& [child, range] : children) {
        if (!below(child, range, depth + 1)) whole_ = false;
    }
    return true;
}

// Those that are not inside of another one.
template <class Find>
std::vector<RootCandidate> outermost(NodeSurvey& survey, Kind leaf, const Find& find) {
    std::vector<RootCandidate> roots;
    std::unordered_set<std::uint64_t> inside;
    for (const Kind kind : {Kind::internal, leaf}) {
        for (std::uint64_t b = 1; b < survey.size().n; ++b) {
            if (survey.kind(MetadataBlock(b)) != kind) continue;
            std::vector<MetadataBlock> inner;
            auto tree = find(survey, MetadataBlock(b), inner);
            if (!tree) continue;
            for (const MetadataBlock at : inner) inside.insert(at.n);
            roots.push_back(summary_of(*tree));
        }
    }
    std::erase_if(roots, [&](const RootCandidate& root) { return inside.contains(root.at.n); });
    return roots;
}

std::optional<VolumeTree> volume_tree(NodeSurvey& survey, MetadataBlock root,
                                      std::vector<MetadataBlock>& inner) {
    VolumeTree tree{root, {}, true};
    // A mapping's value has its data block above 24 bits: no block of a metadata device is so high.
    const Leaf use = [&](const NodeView& leaf) {
        for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
            if (leaf.key(i) > ThinId::max || leaf.child(i).n == 0 ||
                leaf.child(i) >= end_of(survey.size()))
                return false;
            tree.entries.push_back({leaf.key(i), leaf.child(i), {}});
        }
        return true;
    };
    Descent descent(survey, Kind::numbers_leaf, use);
    if (!descent.run(root)) return std::nullopt;
    std::size_t found = 0;
    for (VolumeTree::Entry& entry : tree.entries) {
        entry.below = survey.mappings_below(entry.root);
        if (entry.below) ++found;
    }
    if (found == 0 && !tree.entries.empty()) return std::nullopt;
    tree.whole = descent.whole();
    inner = descent.inner();
    return tree;
}

std::optional<DetailsTree> details_tree(NodeSurvey& survey, MetadataBlock root,
                                        std::vector<MetadataBlock>& inner) {
    DetailsTree tree{root, {}, true};
    const Leaf use = [&](const NodeView& leaf) {
        for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
            if (leaf.key(i) > ThinId::max) return false;
            DiskDetails disk;
            std::memcpy(&disk, leaf.value(i), sizeof disk);
            tree.entries.push_back({leaf.key(i),
                                    disk.mapped_blocks.get(),
                                    {disk.transaction_id.get()},
                                    disk.creation_time.get(),
                                    disk.snapshotted_time.get()});
        }
        return true;
    };
    Descent descent(survey, Kind::details_leaf, use);
    if (!descent.run(root)) return std::nullopt;
    tree.whole = descent.whole();
    inner = descent.inner();
    return tree;
}

// Of nothing it is 0; of a first 0 it is not.
void mix(std::uint64_t& hash, std::uint64_t value) {
    hash = (std::rotl(hash, 23) ^ (value + 1)) * 0x9e3779b97f4a7c15ULL;
}

}  // namespace

std::uint64_t hash_of_ids(std::span<const std::uint64_t> ids) {
    std::uint64_t hash = 0;
    for (const std::uint64_t id : ids) mix(hash, id);
    return hash;
}

RootCandidate summary_of(const VolumeTree& tree) {
    RootCandidate root{.at = tree.at, .volumes = tree.entries.size(), .whole = tree.whole};
    for (const VolumeTree::Entry& entry : tree.entries) {
        const std::uint64_t mappings = entry.below ? entry.below->mappings : 0;
        mix(root.ids, entry.id);
        mix(root.counts, entry.id);
        mix(root.counts, mappings);
        root.mappings += mappings;
        root.whole = root.whole && entry.below && entry.below->whole;
    }
    return root;
}

RootCandidate summary_of(const DetailsTree& tree) {
    RootCandidate root{.at = tree.at, .volumes = tree.entries.size(), .whole = tree.whole};
    for (const VolumeFacts& facts : tree.entries) {
        mix(root.ids, facts.id);
        mix(root.counts, facts.id);
        mix(root.counts, facts.mapped_blocks);
        root.mappings += facts.mapped_blocks;
        root.newest = std::max(root.newest, facts.created_in);
        root.time = std::max({root.time, facts.creation_time, facts.snapshotted_time});
    }
    return root;
}

std::optional<VolumeTree> volume_tree_at(NodeSurvey& survey, MetadataBlock root) {
    std::vector<MetadataBlock> inner;
    return volume_tree(survey, root, inner);
}

std::optional<DetailsTree> details_tree_at(NodeSurvey& survey, MetadataBlock root) {
    std::vector<MetadataBlock> inner;
    return details_tree(survey, root, inner);
}

RootCandidates find_roots(NodeSurvey& survey) {
    RootCandidates roots;
    roots.volumes = outermost(survey, Kind::numbers_leaf, volume_tree);
    roots.details = outermost(survey, Kind::details_leaf, details_tree);
    return roots;
}

}  // namespace thinvol
