#include "engine/metadata_walk.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <unordered_map>

#include "engine/node_reader.h"

namespace thinvol {
namespace {

// The leaves of mapping trees, whose internal nodes are read once however many volumes share them.
class MappingTrees {
public:
    MappingTrees(NodeReader& reader, NodeJudge* judge) : reader_(reader), judge_(judge) {}

    // In the order of their keys. The leaves themselves are not read, but for some.
    Result<> leaves_of(MetadataBlock root, std::vector<MetadataBlock>& leaves) {
        leaves.clear();
        if (!follow(root, std::nullopt, {})) return {};
        const unsigned height = TRY(height_of(root, 0));
        std::uint64_t next_key = 0;
        return collect(root, height, {}, next_key, leaves);
    }

private:
    struct Internal {
        unsigned height = 0;  // levels above the leaves
        std::vector<std::uint64_t> keys;
        std::vector<MetadataBlock> children;
    };
    static Error bad(MetadataBlock at, std::string text) {
        return {Errc::corrupt, fmt::format("metadata block {}: {}", at, text)};
    }
    bool follow(MetadataBlock at, std::optional<unsigned> height, KeyRange keys) {
        return judge_ == nullptr || judge_->follow(at, height, keys);
    }
    static KeyRange range_of(const Internal& node, std::size_t i, KeyRange within) {
        const bool is_last = i + 1 == node.keys.size();
        return {node.keys[i], is_last ? within.last : node.keys[i + 1] - 1};
    }
    // 0 for a leaf. All leaves of a tree are equally deep, so the way down to any one will do.
    Result<unsigned> height_of(MetadataBlock at, unsigned depth);
    Result<> collect(MetadataBlock at, unsigned height, KeyRange keys, std::uint64_t& next_key,
                     std::vector<MetadataBlock>& leaves);

    NodeReader& reader_;
    NodeJudge* judge_;
    std::unordered_map<std::uint64_t, Internal> internal_;
};

Result<unsigned> MappingTrees::height_of(MetadataBlock at, unsigned depth) {
    if (depth > max_tree_depth) return bad(at, "the tree above it is too deep");
    if (const auto found = internal_.find(at.n); found != internal_.end())
        return found->second.height;
    Internal made;
    {
        const NodeView node = TRY(reader_.read(at, BlockKind::mapping_node));
        if (node.is_leaf()) return 0U;
        for (std::uint32_t i = 0; i < node.entries(); ++i) {
            made.keys.push_back(node.key(i));
            made.children.push_back(node.child(i));
        }
    }
    unsigned below = 0;
    for (std::size_t i = 0; i < made.keys.size(); ++i) {
        if (!follow(made.children[i], std::nullopt, range_of(made, i, {}))) continue;
        below = TRY(height_of(made.children[i], depth + 1));
        break;
    }
    made.height = below + 1;
    internal_.emplace(at.n, std::move(made));
    return below + 1;
}

Result<> MappingTrees::collect(MetadataBlock at, unsigned height, KeyRange keys,
                               std::uint64_t& next_key, std::vector<MetadataBlock>& leaves) {
    if (height == 0) {
        TRY(reader_.check(at));
        leaves.push_back(at);
        return {};
    }
    if (TRY(height_of(at, 0)) != height) return bad(at, "its leaves are not as deep as others");
    const Internal& node = internal_.at(at.n);
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
        // Keys that only ascend also end a walk through nodes that point to each other.
        if (node.keys[i] < next_key)
            return bad(at, fmt::format("key {} comes after {}", node.keys[i], next_key - 1));
        const KeyRange range = range_of(node, i, keys);
        if (!follow(node.children[i], height - 1, range)) continue;
        next_key = node.keys[i] + (height == 1 ? 1 : 0);
        TRY(collect(node.children[i], height - 1, range, next_key, leaves));
    }
    return {};
}

// Joins mappings to runs, across leaves too, and hands them on.
class Runs {
public:
    Runs(NodeReader& reader, MetadataVisitor& visitor, std::uint64_t data_end)
        : reader_(reader), visitor_(visitor), data_end_(data_end) {
        runs_.reserve(runs_at_once + max_entries_for(8));
    }
    // Of these leaves, one behind the other. `from`: mappings before that virtual block were given.
    Result<> give(std::span<const MetadataBlock> leaves, std::uint64_t& from);

private:
    static constexpr std::size_t runs_at_once = 4096;
    Result<> take(const NodeView& leaf, MetadataBlock at);
    Result<> hand_on(std::size_t keep);

    NodeReader& reader_;
    MetadataVisitor& visitor_;
    std::uint64_t data_end_;
    std::vector<MappingRun> runs_;
    std::uint64_t next_key_ = 0;
    std::uint64_t next_value_ = 0;  // that would extend the last run ...
    bool extends_ = false;          // ... if there is one
};

Result<> Runs::give(std::span<const MetadataBlock> leaves, std::uint64_t& from) {
    next_key_ = from;
    extends_ = false;
    TRY(reader_.read_all(
        leaves, BlockKind::mapping_node,
        [this](const NodeView& leaf, MetadataBlock at) { return take(leaf, at); }));
    from = next_key_;
    return hand_on(0);
}

Result<> Runs::take(const NodeView& leaf, MetadataBlock at) {
    const std::uint32_t n = leaf.entries();
    if (!leaf.is_leaf() || (n > 0 && leaf.key(0) < next_key_))
        return Error(Errc::corrupt,
                     fmt::format("metadata block {}: its keys do not follow those before", at));
    for (std::uint32_t i = 0; i < n; ++i) {
        const std::uint64_t key = leaf.key(i);
        const auto value = load_le<std::uint64_t>(leaf.value(i));
        const std::uint64_t block = value >> 24;
        if (extends_ && key == next_key_ && value == next_value_) {
            ++runs_.back().length;
        } else {
            if (block >= data_end_) continue;
            runs_.push_back({key, block, 1, value & SnapTime::max});
        }
        next_key_ = key + 1;
        next_value_ = value + (1ULL << 24);
        extends_ = block + 1 < data_end_;
    }
    return runs_.size() < runs_at_once ? Result<>() : hand_on(1);
}

Result<> Runs::hand_on(std::size_t keep) {
    if (runs_.size() <= keep) return {};
    TRY(visitor_.runs(std::span(runs_).first(runs_.size() - keep)));
    runs_.erase(runs_.begin(), runs_.end() - static_cast<std::ptrdiff_t>(keep));
    return {};
}

// What volumes share, as pieces: each a row of leaves that all volumes which reach one of them have
// in that order, with nothing in between.
class Sharing {
public:
    explicit Sharing(MetadataBlocks blocks) : leaves_(blocks.n) {}

    void count(std::span<const MetadataBlock> leaves, std::uint32_t volumes) {
        MetadataBlock before{};
        for (const MetadataBlock at : leaves) {
            Leaf& leaf = leaves_[at.n];
            if (leaf.volumes > 0 && leaf.before != before.n) leaf.is_first = true;
            leaf.before = static_cast<std::uint32_t>(before.n);
            leaf.volumes += volumes;
            before = at;
        }
    }
    bool shared(MetadataBlock at) const { return leaves_[at.n].volumes > 1; }
    bool begins(MetadataBlock at) const {
        const Leaf& leaf = leaves_[at.n];
        return leaf.is_first || leaf.before == 0 || leaves_[leaf.before].volumes != leaf.volumes;
    }
    // How many of `leaves` the piece has that begins with the first of them.
    std::size_t piece(std::span<const MetadataBlock> leaves) const {
        std::size_t n = 1;
        while (n < leaves.size() && shared(leaves[n]) && !begins(leaves[n])) ++n;
        return n;
    }
    // False for the second and later times.
    bool first_time(MetadataBlock at) { return !std::exchange(leaves_[at.n].given, true); }

private:
    struct Leaf {
        std::uint32_t volumes = 0;
        std::uint32_t before = 0;  // the leaf in front of it; 0: none
        bool is_first = false;     // volumes do not agree on what is in front
        bool given = false;
    };
    std::vector<Leaf> leaves_;
};

class Walk {
public:
    Walk(BlockQueue& device, const MetadataContents& contents, WalkOptions options,
         MetadataVisitor& visitor)
        : contents_(contents),
          visitor_(visitor),
          reader_(device, contents.blocks),
          trees_(reader_, options.judge),
          runs_(reader_, visitor, options.judge ? contents.pool.data_blocks.n : max_data_block + 1),
          sharing_(options.subtrees ? contents.blocks : MetadataBlocks(0)),
          subtrees_(options.subtrees) {}

    Result<> run() {
        TRY(visitor_.pool(contents_.pool));
        if (subtrees_) TRY(shared_pieces());
        for (const WalkedVolume& volume : contents_.volumes)
            TRY(within(fmt::format("thin id {}", volume.facts.id), give(volume)));
        return visitor_.end();
    }

private:
    Result<> shared_pieces() {
        std::unordered_map<std::uint64_t, std::uint32_t> volumes_of;
        for (const WalkedVolume& volume : contents_.volumes) ++volumes_of[volume.root.n];
        for (const auto& [root, volumes] : volumes_of) {
            TRY(trees_.leaves_of(MetadataBlock(root), leaves_));
            sharing_.count(leaves_, volumes);
        }
        for (const WalkedVolume& volume : contents_.volumes) {
            if (volumes_of.erase(volume.root.n) == 0) continue;
            TRY(trees_.leaves_of(volume.root, leaves_));
            TRY(give_pieces(leaves_));
        }
        return {};
    }
    Result<> give_pieces(std::span<const MetadataBlock> leaves) {
        for (std::size_t i = 0; i < leaves.size();) {
            const auto rest = leaves.subspan(i);
            const std::size_t n = sharing_.shared(rest[0]) ? sharing_.piece(rest) : 1;
            if (sharing_.shared(rest[0]) && sharing_.first_time(rest[0])) {
                std::uint64_t from = 0;
                TRY(visitor_.begin_subtree(rest[0].n));
                TRY(runs_.give(rest.first(n), from));
                TRY(visitor_.end_subtree());
            }
            i += n;
        }
        return {};
    }
    Result<> give(const WalkedVolume& volume) {
        TRY(trees_.leaves_of(volume.root, leaves_));
        TRY(visitor_.begin_volume(volume.facts));
        std::uint64_t from = 0;
        if (!subtrees_) {
            TRY(runs_.give(leaves_, from));
            return visitor_.end_volume();
        }
        const std::span<const MetadataBlock> all(leaves_);
        for (std::size_t i = 0; i < all.size();) {
            std::size_t n = 0;
            while (i + n < all.size() && !sharing_.shared(all[i + n])) ++n;
            TRY(runs_.give(all.subspan(i, n), from));
            i += n;
            if (i == all.size()) break;
            TRY(visitor_.subtree(all[i].n));
            i += sharing_.piece(all.subspan(i));
        }
        return visitor_.end_volume();
    }

    const MetadataContents& contents_;
    MetadataVisitor& visitor_;
    NodeReader reader_;
    MappingTrees trees_;
    Runs runs_;
    Sharing sharing_;
    bool subtrees_;
    std::vector<MetadataBlock> leaves_;
};

Result<> read_volumes(NodeReader& reader, const Superblock& sb, MetadataContents& contents) {
    TRY(reader.leaves(sb.mapping_root, BlockKind::top_level_node,
                      [&](const NodeView& leaf, MetadataBlock) -> Result<> {
                          for (std::uint32_t i = 0; i < leaf.entries(); ++i)
                              contents.volumes.push_back({{leaf.key(i)}, leaf.child(i)});
                          return {};
                      }));
    auto volume = contents.volumes.begin();
    TRY(reader.leaves(
        sb.details_root, BlockKind::details_node,
        [&](const NodeView& leaf, MetadataBlock at) -> Result<> {
            for (std::uint32_t i = 0; i < leaf.entries(); ++i, ++volume) {
                if (volume == contents.volumes.end() || volume->facts.id != leaf.key(i))
                    return Error(Errc::corrupt,
                                 fmt::format("metadata block {}: thin id {} has details, but no "
                                             "mappings, or one before it has no details",
                                             at, leaf.key(i)));
                DiskDetails disk;
                std::memcpy(&disk, leaf.value(i), sizeof disk);
                volume->facts.mapped_blocks = disk.mapped_blocks.get();
                volume->facts.created_in = {disk.transaction_id.get()};
                volume->facts.creation_time = disk.creation_time.get();
                volume->facts.snapshotted_time = disk.snapshotted_time.get();
            }
            return {};
        }));
    if (volume == contents.volumes.end()) return {};
    return Error(Errc::corrupt,
                 fmt::format("thin id {} has mappings but no details", volume->facts.id));
}

}  // namespace

Result<MetadataContents> read_contents(BlockQueue& device) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    TRY(within("superblock", read_now(device, Sector(0), bytes)));
    const Superblock sb = TRY(Superblock::decode(bytes));
    MetadataContents contents;
    contents.blocks = MetadataBlocks(sb.metadata_space_map.blocks);
    if (contents.blocks > to_metadata_blocks(device.size())) {
        return Error(Errc::corrupt,
                     fmt::format("the metadata device has {} blocks, its superblock says {}",
                                 to_metadata_blocks(device.size()), contents.blocks));
    }
    const auto* uuid = reinterpret_cast<const char*>(bytes.data()) + offsetof(DiskSuperblock, uuid);
    contents.pool = {.uuid = std::string(uuid, ::strnlen(uuid, 16)),
                     .time = sb.time,
                     .transaction_id = sb.transaction_id,
                     .needs_check = sb.needs_check,
                     .version = sb.version,
                     .data_block_size = sb.data_block_size,
                     .data_blocks = DataBlocks(sb.data_space_map.blocks),
                     .metadata_snapshot = sb.held_root};
    NodeReader reader(device, contents.blocks);
    TRY(read_volumes(reader, sb, contents));
    return contents;
}

Result<> walk_contents(BlockQueue& device, const MetadataContents& contents, WalkOptions options,
                       MetadataVisitor& visitor) {
    return Walk(device, contents, options, visitor).run();
}

Result<> walk_metadata(BlockQueue& device, WalkOptions options, MetadataVisitor& visitor) {
    const MetadataContents contents = TRY(read_contents(device));
    return walk_contents(device, contents, options, visitor);
}

}  // namespace thinvol
