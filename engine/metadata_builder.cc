#include "engine/metadata_builder.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/bitmap.h"

namespace thinvol {
namespace {

constexpr std::uint32_t leaf_max = max_entries_for(8);
constexpr std::uint32_t leaf_min = leaf_max / 3;

}  // namespace

struct MetadataBuilder::Leaf {
    std::uint64_t first = 0;  // virtual block
    MetadataBlock at{};
    std::uint32_t entries = 0;
    std::uint32_t references = 0;  // counted for a subtree's own list only
    Leaf* shared = nullptr;        // the one of the subtree that this stands for
};

struct MetadataBuilder::Subtree {
    std::vector<Leaf> leaves;
    std::uint64_t mapped = 0;
    std::uint64_t end = 0;
    std::optional<MetadataBlock> root;  // where some volume is nothing but this
    std::uint32_t root_references = 0;
};

MetadataBuilder::MetadataBuilder(BlockQueue& device, const BuildOptions& options)
    : device_(device),
      options_(options),
      blocks_(device),
      keys_(3UL * leaf_max),
      values_(3UL * leaf_max) {}
MetadataBuilder::~MetadataBuilder() = default;

std::string MetadataBuilder::where() const {
    if (open_volume_) return fmt::format("thin id {}", volumes_.back().facts.id);
    return open_subtree_ != nullptr ? "shared mappings" : "the pool";
}

template <class... Args>
Error MetadataBuilder::refused(fmt::format_string<Args...> text, Args&&... args) const {
    return {Errc::corrupt,
            fmt::format("{}: {}", where(), fmt::format(text, std::forward<Args>(args)...))};
}

Result<> MetadataBuilder::pool(const PoolFacts& given) {
    PoolFacts facts = given;
    facts.transaction_id = options_.overrides.transaction_id.value_or(given.transaction_id);
    facts.data_block_size = options_.overrides.data_block_size.value_or(given.data_block_size);
    facts.data_blocks = options_.overrides.data_blocks.value_or(given.data_blocks);
    TRY(check_data_block_size(facts.data_block_size));
    if (facts.data_blocks.n > max_data_block + 1)
        return refused("{} data blocks, the format allows {}", facts.data_blocks,
                       max_data_block + 1);
    if (facts.time > SnapTime::max)
        return refused("snapshot time {}, the format allows {}", facts.time, SnapTime::max);
    if (facts.uuid.size() > 16) return refused("uuid \"{}\" is longer than 16 bytes", facts.uuid);
    const std::uint64_t bitmaps = divide_up(facts.data_blocks.n, entries_per_bitmap);
    if (bitmaps > blocks_.size().n)
        return Error(Errc::out_of_space,
                     fmt::format("{} data blocks need {} metadata blocks at least, {} are there",
                                 facts.data_blocks, bitmaps, blocks_.size()));
    facts_ = facts;
    TRY(zero_now(device_, Sector(0), to_sectors(Bytes(metadata_block_bytes))));
    return flush_now(device_);
}

Result<> MetadataBuilder::begin_subtree(std::uint64_t name) {
    auto [at, added] = subtrees_.try_emplace(name);
    if (!added) return refused("shared mappings {} are there twice", name);
    at->second = std::make_unique<Subtree>();
    open_subtree_ = at->second.get();
    leaves_.clear();
    mapped_ = end_ = 0;
    return {};
}

Result<> MetadataBuilder::end_subtree() {
    TRY(settle_leaves());
    open_subtree_->leaves = std::move(leaves_);
    open_subtree_->mapped = mapped_;
    open_subtree_->end = end_;
    open_subtree_ = nullptr;
    leaves_.clear();
    return {};
}

Result<> MetadataBuilder::begin_volume(const VolumeFacts& facts) {
    if (facts.id > ThinId::max) return refused("thin id {} is above {}", facts.id, ThinId::max);
    if (!ids_.insert(facts.id).second) return refused("thin id {} is there twice", facts.id);
    constexpr std::uint64_t time_max = ~std::uint32_t{0};
    if (facts.creation_time > time_max || facts.snapshotted_time > time_max)
        return refused("thin id {}: a time above {}", facts.id, time_max);
    volumes_.push_back({facts, {}});
    open_volume_ = true;
    whole_ = nullptr;
    leaves_.clear();
    mapped_ = end_ = 0;
    return {};
}

Result<> MetadataBuilder::end_volume() {
    Volume& volume = volumes_.back();
    if (whole_ != nullptr) volume.root = TRY(root_of(*whole_));
    else volume.root = TRY(root_of_leaves());
    if (options_.count_mapped) volume.facts.mapped_blocks = mapped_;
    if (volume.facts.mapped_blocks != mapped_)
        return refused("it is said to have {} mapped blocks, and has {}",
                       volume.facts.mapped_blocks, mapped_);
    mappings_ += mapped_;
    open_volume_ = false;
    return {};
}

Result<> MetadataBuilder::check(const MappingRun& run) const {
    if (run.length == 0) return refused("no mapping at virtual block {}", run.origin);
    if (run.origin < end_)
        return refused("virtual block {} comes after {}: mapped twice, or out of order", run.origin,
                       end_ - 1);
    if (run.length > ~run.origin)
        return refused("{} virtual blocks from {} on are too many", run.length, run.origin);
    if (run.data >= facts_.data_blocks.n || run.length > facts_.data_blocks.n - run.data)
        return refused("virtual block {} is mapped to data blocks {} to {}, the pool has {}",
                       run.origin, run.data, run.data + (run.length - 1), facts_.data_blocks);
    if (run.time > SnapTime::max)
        return refused("virtual block {}: time {}, the format allows {}", run.origin, run.time,
                       SnapTime::max);
    return {};
}

Result<> MetadataBuilder::runs(std::span<const MappingRun> runs) {
    if (runs.empty()) return {};
    if (!open_volume_ && open_subtree_ == nullptr) return refused("mappings outside of a volume");
    TRY(place_whole());
    for (const MappingRun& run : runs) {
        TRY(check(run));
        std::uint64_t key = run.origin;
        std::uint64_t value = run.data << 24 | run.time;
        for (std::uint64_t left = run.length; left > 0;) {
            const auto n = std::min<std::uint64_t>(left, 2 * leaf_max - pending_);
            for (std::uint64_t i = 0; i < n; ++i) {
                keys_[pending_ + i] = key + i;
                values_[pending_ + i] = value + (i << 24);
            }
            data_.add(value >> 24, n);
            pending_ += static_cast<std::uint32_t>(n);
            key += n;
            value += n << 24;
            left -= n;
            while (pending_ >= leaf_max + leaf_min) TRY(emit_leaf(leaf_max));
        }
        mapped_ += run.length;
        end_ = run.origin + run.length;
    }
    return {};
}

Result<> MetadataBuilder::emit_leaf(std::uint32_t n) {
    Node leaf(TRY(blocks_.add(BlockKind::mapping_node)));
    leaf.format(true, 8);
    for (std::uint32_t i = 0; i < n; ++i) leaf.set_key(i, keys_[i]);
    for (std::uint32_t i = 0; i < n; ++i) store_le(leaf.value(i), values_[i]);
    leaf.set_entries(n);
    leaves_.push_back({keys_.front(), blocks_.last(), n, 0, nullptr});
    // Counting on is for devices that are too small, not for pools that cannot be.
    if (blocks_.used() > max_metadata_blocks) return require_size();
    pending_ -= n;
    std::memmove(keys_.data(), keys_.data() + n, 8UL * pending_);
    std::memmove(values_.data(), values_.data() + n, 8UL * pending_);
    return {};
}

Result<> MetadataBuilder::emit_pending() {
    while (pending_ > 0) TRY(emit_leaf(next_node_size(pending_, leaf_max)));
    return {};
}

Result<> MetadataBuilder::copy_leaf(const Leaf& leaf) {
    ASSERT(pending_ + leaf.entries <= keys_.size());
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes{};
    const bool behind = pending_ == 0 || keys_[0] < leaf.first;
    const std::uint32_t to = behind ? pending_ : 0;
    if (!behind) {
        std::memmove(keys_.data() + leaf.entries, keys_.data(), 8UL * pending_);
        std::memmove(values_.data() + leaf.entries, values_.data(), 8UL * pending_);
    }
    pending_ += leaf.entries;
    // Only the number of blocks matters any more.
    if (blocks_.too_small()) {
        std::fill_n(keys_.data() + to, leaf.entries, leaf.first);
        return {};
    }
    TRY(within(fmt::format("metadata block {}", leaf.at),
               blocks_.read_back(leaf.at, BlockKind::mapping_node, bytes)));
    const NodeView node(bytes.data());
    for (std::uint32_t i = 0; i < leaf.entries; ++i) {
        keys_[to + i] = node.key(i);
        values_[to + i] = load_le<std::uint64_t>(node.value(i));
        data_.add(values_[to + i] >> 24, 1);
    }
    return {};
}

Result<> MetadataBuilder::subtree(std::uint64_t name) {
    const auto found = subtrees_.find(name);
    if (found == subtrees_.end()) return refused("shared mappings {} are not there", name);
    Subtree& subtree = *found->second;
    if (!open_volume_) return refused("a reference to shared mappings outside of a volume");
    if (subtree.leaves.empty()) return {};
    const std::uint64_t first = subtree.leaves.front().first;
    if (first < end_)
        return refused("virtual block {} comes after {}: mapped twice, or out of order", first,
                       end_ - 1);
    const bool alone = mapped_ == 0;
    TRY(place_whole());
    mapped_ += subtree.mapped;
    end_ = subtree.end;
    if (!alone) return place(subtree);
    whole_ = &subtree;
    return {};
}

Result<> MetadataBuilder::place_whole() {
    if (whole_ == nullptr) return {};
    return place(*std::exchange(whole_, nullptr));
}

Result<> MetadataBuilder::place(Subtree& subtree) {
    for (Leaf& leaf : subtree.leaves) {
        const bool too_few_before = pending_ > 0 && pending_ < leaf_min;
        if (leaf.entries < leaf_min || too_few_before) {
            TRY(copy_leaf(leaf));
            while (pending_ >= leaf_max + leaf_min) TRY(emit_leaf(leaf_max));
            continue;
        }
        TRY(emit_pending());
        leaves_.push_back({leaf.first, leaf.at, leaf.entries, 0, &leaf});
    }
    return {};
}

Result<> MetadataBuilder::settle_leaves() {
    if (pending_ > 0 && pending_ < leaf_min && !leaves_.empty()) {
        // Leaves of our own are only emitted while enough is left over, so this one is shared.
        const Leaf last = leaves_.back();
        ASSERT(last.shared != nullptr);
        leaves_.pop_back();
        TRY(copy_leaf(last));
    }
    return emit_pending();
}

Result<MetadataBlock> MetadataBuilder::root_of_leaves() {
    TRY(settle_leaves());
    if (leaves_.empty()) TRY(emit_leaf(0));
    std::vector<BulkChild> children;
    children.reserve(leaves_.size());
    for (const Leaf& leaf : leaves_) {
        if (leaf.shared != nullptr) ++leaf.shared->references;
        children.push_back({leaf.first, leaf.at});
    }
    return build_upwards(blocks_, BlockKind::mapping_node, std::move(children));
}

Result<MetadataBlock> MetadataBuilder::root_of(Subtree& subtree) {
    if (subtree.leaves.size() == 1) {
        ++subtree.leaves.front().references;
        return subtree.leaves.front().at;
    }
    ++subtree.root_references;
    if (!subtree.root) {
        std::vector<BulkChild> children;
        for (Leaf& leaf : subtree.leaves) {
            ++leaf.references;
            children.push_back({leaf.first, leaf.at});
        }
        subtree.root = TRY(build_upwards(blocks_, BlockKind::mapping_node, std::move(children)));
    }
    return *subtree.root;
}

// --- the end -------------------------------------------------------------------------------------

// Nobody refers to them, so their blocks stay free, and their mappings do not count.
Result<> MetadataBuilder::drop_unused_leaves() {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    for (const auto& [name, subtree] : subtrees_) {
        for (const Leaf& leaf : subtree->leaves) {
            if (leaf.references > 0) continue;
            TRY(blocks_.read_back(leaf.at, BlockKind::mapping_node, bytes));
            const NodeView node(bytes.data());
            for (std::uint32_t i = 0; i < leaf.entries; ++i)
                data_.remove(load_le<std::uint64_t>(node.value(i)) >> 24);
        }
    }
    return {};
}

// The next bitmap of a map, of n counts; null stands for nothing but zeroes.
Result<> MetadataBuilder::write_bitmap(const std::uint8_t* counts, std::uint64_t n, Map& map) {
    std::byte* block = TRY(blocks_.add(BlockKind::bitmap));
    std::uint64_t used = 0;
    std::uint64_t first_free = counts == nullptr ? 0 : n;
    for (std::uint64_t i = 0; counts != nullptr && i < n; ++i) {
        if (counts[i] == 0) first_free = std::min(first_free, i);
        else ++used;
        bitmap_set(block, static_cast<std::uint32_t>(i),
                   std::min<std::uint32_t>(counts[i], count_in_overflow_tree));
    }
    map.root.allocated += used;
    DiskIndexEntry entry;
    entry.blocknr.set(blocks_.last().n);
    entry.nr_free.set(static_cast<std::uint32_t>(entries_per_bitmap - used));
    entry.none_free_before.set(static_cast<std::uint32_t>(first_free));
    map.index.push_back(entry);
    return {};
}

Result<MetadataBuilder::Map> MetadataBuilder::write_data_map() {
    Map map;
    map.root.blocks = facts_.data_blocks.n;
    BulkTree overflow(blocks_, BlockKind::overflow_node, 4);
    for (std::uint64_t b = 0; b < facts_.data_blocks.n; b += entries_per_bitmap) {
        const auto n = std::min<std::uint64_t>(entries_per_bitmap, facts_.data_blocks.n - b);
        const ReferenceTally::Page* page = data_.page(b / entries_per_bitmap);
        TRY(write_bitmap(page == nullptr ? nullptr : page->data(), n, map));
        for (std::uint64_t i = 0; page != nullptr && i < n; ++i) {
            if ((*page)[i] < count_in_overflow_tree) continue;
            le32 count;
            count.set((*page)[i] == ReferenceTally::in_more ? data_.count_of_more(b + i)
                                                            : (*page)[i]);
            TRY(overflow.add(b + i, &count));
        }
    }
    BulkTree index(blocks_, BlockKind::bitmap_tree_node, sizeof(DiskIndexEntry));
    for (std::uint64_t i = 0; i < map.index.size(); ++i) TRY(index.add(i, &map.index[i]));
    map.root.bitmap_root = TRY(index.finish());
    map.root.ref_count_root = TRY(overflow.finish());
    return map;
}

// The last to be written: it counts its own blocks, which have one reference each.
Result<MetadataBuilder::Map> MetadataBuilder::write_metadata_map() {
    Map map;
    map.root.blocks = blocks_.size().n;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> others;  // that have not exactly one
    for (const auto& [name, subtree] : subtrees_) {
        for (const Leaf& leaf : subtree->leaves)
            if (leaf.references != 1) others.emplace_back(leaf.at.n, leaf.references);
        if (subtree->root_references > 1)
            others.emplace_back(subtree->root->n, subtree->root_references);
    }
    std::sort(others.begin(), others.end());
    BulkTree overflow(blocks_, BlockKind::overflow_node, 4);
    for (const auto& [block, references] : others) {
        le32 count;
        count.set(references);
        if (references >= count_in_overflow_tree) TRY(overflow.add(block, &count));
    }
    map.root.ref_count_root = TRY(overflow.finish());
    const std::uint64_t bitmaps = divide_up(map.root.blocks, entries_per_bitmap);
    const std::uint64_t used = blocks_.used().n + bitmaps + 1;
    std::vector<std::uint8_t> counts(std::max(used, bitmaps * entries_per_bitmap), 0);
    std::fill_n(counts.begin(), used, std::uint8_t{1});
    for (const auto& [block, references] : others)
        counts[block] =
            static_cast<std::uint8_t>(std::min<std::uint32_t>(references, count_in_overflow_tree));
    for (std::uint64_t i = 0; i < bitmaps; ++i) {
        const std::uint64_t first = i * entries_per_bitmap;
        TRY(write_bitmap(counts.data() + first,
                         std::min<std::uint64_t>(entries_per_bitmap, map.root.blocks - first),
                         map));
    }
    std::byte* index = TRY(blocks_.add(BlockKind::metadata_index));
    std::memcpy(index + offsetof(DiskMetadataIndex, index), map.index.data(),
                map.index.size() * sizeof(DiskIndexEntry));
    map.root.bitmap_root = blocks_.last();
    return map;
}

Result<> MetadataBuilder::require_size() const {
    if (!blocks_.too_small()) return {};
    const MetadataBlocks needed = blocks_.used();
    return Error(Errc::out_of_space,
                 fmt::format("at least {} metadata blocks, {} KiB, are needed, and {} are there{}",
                             needed, needed.n * metadata_block_bytes / 1024, blocks_.size(),
                             needed > max_metadata_blocks ? ": more than the format allows" : ""));
}

Result<> MetadataBuilder::end() {
    std::sort(volumes_.begin(), volumes_.end(),
              [](const Volume& a, const Volume& b) { return a.facts.id < b.facts.id; });
    if (!blocks_.too_small()) TRY(drop_unused_leaves());
    BulkTree roots(blocks_, BlockKind::top_level_node, 8);
    BulkTree details(blocks_, BlockKind::details_node, sizeof(DiskDetails));
    for (const auto& [facts, root] : volumes_) {
        le64 value;
        value.set(root.n);
        TRY(roots.add(facts.id, &value));
        DiskDetails disk;
        disk.mapped_blocks.set(facts.mapped_blocks);
        disk.transaction_id.set(facts.created_in.n);
        disk.creation_time.set(static_cast<std::uint32_t>(facts.creation_time));
        disk.snapshotted_time.set(static_cast<std::uint32_t>(facts.snapshotted_time));
        TRY(details.add(facts.id, &disk));
    }
    Superblock sb;
    sb.needs_check = facts_.needs_check;
    sb.time = static_cast<std::uint32_t>(facts_.time);
    sb.transaction_id = facts_.transaction_id;
    sb.data_block_size = facts_.data_block_size;
    sb.mapping_root = TRY(roots.finish());
    sb.details_root = TRY(details.finish());
    sb.data_space_map = TRY(write_data_map()).root;
    sb.metadata_space_map = TRY(write_metadata_map()).root;
    sb.formatted_blocks = blocks_.size();
    TRY(require_size());
    TRY(blocks_.flush());
    TRY(flush_now(device_));
    return write_superblock(sb);
}

Result<> MetadataBuilder::write_superblock(const Superblock& superblock) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes{};
    std::memcpy(bytes.data() + offsetof(DiskSuperblock, uuid), facts_.uuid.data(),
                facts_.uuid.size());
    superblock.encode(bytes);
    TRY(write_now(device_, Sector(0), bytes));
    return flush_now(device_);
}

}  // namespace thinvol
