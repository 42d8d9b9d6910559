#include "engine/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <unordered_map>

#include "engine/bitmap.h"
#include "engine/block_cache.h"
#include "engine/block_sweep.h"
#include "engine/block_tally.h"
#include "engine/node.h"

namespace thinvol {
namespace {

using Severity = CheckReport::Severity;

class Checker {
public:
    Checker(BlockQueue& device, const CheckOptions& options)
        : device_(device),
          options_(options),
          workers_(options.workers == nullptr ? alone_ : *options.workers) {}
    Result<CheckReport> run();

private:
    struct KeyRange {
        std::uint64_t first = 0;
        std::uint64_t last = ~0ULL;
    };
    // What is known of a node. All bytes zero: nothing.
    struct Seen {
        std::uint64_t first_key;
        std::uint64_t last_key;
        std::uint64_t leaf_entries;  // below it
        std::uint16_t entries;
        BlockKind kind;
        std::uint8_t height;
        bool known;     // it was read as `kind`
        bool expanded;  // and met by the recount
        bool usable;
        bool leaf;

        void describe(const NodeView& view) {
            leaf = view.is_leaf();
            entries = static_cast<std::uint16_t>(view.entries());
            if (leaf) leaf_entries = entries;
            if (entries == 0) return;
            first_key = view.key(0);
            last_key = view.key(entries - 1U);
        }
    };
    using Block = std::array<std::byte, metadata_block_bytes>;
    using LeafVisitor = void (Checker::*)(const NodeView& leaf);
    using Counts = std::vector<std::pair<std::uint64_t, std::uint32_t>>;  // ascending

    Result<> begin();
    bool read(MetadataBlock at, BlockKind kind, Block& into);
    // Reads all nodes of mapping trees, on all workers, level by level.
    void survey(std::vector<MetadataBlock> level);
    void survey_node(MetadataBlock at, const Result<ConstBlockBytes>& bytes,
                     std::vector<MetadataBlock>& below);
    std::string survey_mappings(const NodeView& leaf);
    // Counts a reference to a node and expands it the first time. Null if it is unusable.
    const Seen* node(MetadataBlock at, BlockKind kind, KeyRange legal, bool is_root,
                     LeafVisitor visit, unsigned depth);
    void expand(MetadataBlock at, const NodeView& view, BlockKind kind, KeyRange legal,
                LeafVisitor visit, unsigned depth, Seen& seen);
    void check_place(MetadataBlock at, const Seen& seen, KeyRange legal, bool is_root);
    void top_level_leaf(const NodeView& leaf);
    void details_leaf(const NodeView& leaf);
    void bitmap_tree_leaf(const NodeView& leaf);
    void overflow_leaf(const NodeView& leaf);

    // `alone`: no other pair of trees was walked before, so each key was seen now.
    void volumes(MetadataBlock mapping_root, MetadataBlock details_root, const char* whose,
                 bool alone);
    void data_space_map();
    void metadata_space_map();
    void metadata_snapshot();
    struct Map {  // one of the two
        const char* name;
        const SpaceMapRoot& root;
        const BlockTally& expected;
        std::vector<CheckReport::RightCount>& right;
    };
    void bitmap(const Map& map, std::uint64_t number, const DiskIndexEntry& entry,
                std::uint64_t& used);
    void index_entry(const Map& map, std::uint64_t number, const DiskIndexEntry& entry,
                     std::uint32_t free, std::uint32_t first_free);
    void allocated(const Map& map, std::uint64_t used);
    void compare(const Map& map, std::uint64_t block, std::uint64_t stored);
    // A pointer to a bitmap; one outside the device is found when it is read.
    void count_bitmap(const DiskIndexEntry& entry) {
        if (entry.blocknr.get() < report_.superblock.metadata_space_map.blocks)
            metadata_->add(entry.blocknr.get());
    }
    void overflow_tree(MetadataBlock root);
    void rest_of_overflow(const Map& map);
    bool counting() const { return options_.scope == CheckOptions::Scope::everything; }

    template <class... Args>
    void damage(fmt::format_string<Args...> text, Args&&... args) {
        report_.add(Severity::damage, fmt::format(text, std::forward<Args>(args)...));
    }
    template <class... Args>
    void wrong_count(fmt::format_string<Args...> text, Args&&... args) {
        report_.add(Severity::wrong_count, fmt::format(text, std::forward<Args>(args)...));
    }

    BlockQueue& device_;
    const CheckOptions& options_;
    OneWorker alone_;
    Workers& workers_;
    CheckReport report_;
    std::optional<BlockTally> metadata_;
    std::optional<BlockTally> data_;
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    std::unique_ptr<Seen[], Free> seen_;  // by block; pages that are never used cost nothing
    std::mutex surveying_;
    std::unordered_map<std::uint64_t, std::string> surveyed_damage_;      // by block
    std::vector<std::pair<std::uint64_t, MetadataBlock>> mapping_roots_;  // thin id, root
    std::vector<std::pair<std::uint64_t, DiskDetails>> details_;
    std::vector<DiskIndexEntry> index_;
    Counts overflow_;
    std::size_t next_overflow_ = 0;  // the first that no bitmap has asked for
};

bool Checker::read(MetadataBlock at, BlockKind kind, Block& into) {
    if (at.n >= report_.superblock.metadata_space_map.blocks) {
        damage("{} at metadata block {} is outside the device of {} blocks", name_of(kind), at,
               report_.superblock.metadata_space_map.blocks);
        return false;
    }
    auto outcome = read_now(device_, to_sector(at), into);
    if (outcome) outcome = check_block(into, at, kind);
    if (!outcome) damage("metadata block {}: {}", at, outcome.error().text);
    return outcome.has_value();
}

void Checker::survey(std::vector<MetadataBlock> level) {
    const auto is_news = [&](MetadataBlock b) {
        return b.n < report_.superblock.metadata_space_map.blocks && !seen_[b.n].known;
    };
    for (unsigned depth = 0; !level.empty() && depth <= max_tree_depth; ++depth) {
        std::sort(level.begin(), level.end());
        level.erase(std::unique(level.begin(), level.end()), level.end());
        std::erase_if(level, [&](MetadataBlock b) { return !is_news(b); });
        for (const MetadataBlock b : level) {
            seen_[b.n].known = true;
            seen_[b.n].kind = BlockKind::mapping_node;
        }
        std::vector<MetadataBlock> below;
        sweep_blocks(device_, workers_, level,
                     [&](MetadataBlock at, const Result<ConstBlockBytes>& bytes) {
                         survey_node(at, bytes, below);
                     });
        level = std::move(below);
    }
}

// On all workers: changes what belongs to the block, and the rest under the lock.
void Checker::survey_node(MetadataBlock at, const Result<ConstBlockBytes>& bytes,
                          std::vector<MetadataBlock>& below) {
    Result<> sound;
    if (bytes) sound = check_block(*bytes, at, BlockKind::mapping_node);
    else sound = bytes.error();
    if (!sound) {
        const std::lock_guard lock(surveying_);
        surveyed_damage_[at.n] = fmt::format("metadata block {}: {}", at, sound.error().text);
        return;
    }
    const NodeView view(bytes->data());
    Seen& seen = seen_[at.n];
    seen.usable = true;
    seen.describe(view);
    if (seen.leaf) {
        if (auto text = survey_mappings(view); !text.empty()) {
            const std::lock_guard lock(surveying_);
            surveyed_damage_[at.n] = fmt::format("metadata block {}: {}", at, text);
        }
        return;
    }
    const std::lock_guard lock(surveying_);
    for (std::uint32_t i = 0; i < seen.entries; ++i) below.push_back(view.child(i));
}

std::string Checker::survey_mappings(const NodeView& leaf) {
    const std::uint64_t size = report_.superblock.data_space_map.blocks;
    std::string outside;
    for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
        const std::uint64_t block = load_le<std::uint64_t>(leaf.value(i)) >> 24;
        if (block < size) [[likely]]
            data_->add(block);
        else if (outside.empty())
            outside = fmt::format("virtual block {} is mapped to data block {}, the pool has {}",
                                  leaf.key(i), block, size);
    }
    return outside;
}

const Checker::Seen* Checker::node(MetadataBlock at, BlockKind kind, KeyRange legal, bool is_root,
                                   LeafVisitor visit, unsigned depth) {
    if (at.n >= report_.superblock.metadata_space_map.blocks) {
        Block unread;
        read(at, kind, unread);  // says so
        return nullptr;
    }
    metadata_->add(at.n);
    Seen& seen = seen_[at.n];
    if (seen.known && seen.kind != kind) {
        damage("metadata block {} is used both as {} and as {}", at, name_of(seen.kind),
               name_of(kind));
        return nullptr;
    }
    if (!std::exchange(seen.expanded, true)) {  // first: a cycle meets it unfinished, and stops
        const auto surveyed = surveyed_damage_.find(at.n);
        const bool new_to_us = !std::exchange(seen.known, true);
        seen.kind = kind;
        Block bytes;
        if (surveyed != surveyed_damage_.end()) {
            damage("{}", surveyed->second);
        } else if (depth > max_tree_depth) {
            damage("the tree above metadata block {} is deeper than {} levels", at, max_tree_depth);
            seen.usable = false;
        } else if ((new_to_us || !seen.leaf) && read(at, kind, bytes)) {
            seen.usable = true;
            expand(at, NodeView(bytes.data()), kind, legal, visit, depth, seen);
        }
    }
    if (!seen.usable) return nullptr;
    check_place(at, seen, legal, is_root);
    return &seen;
}

void Checker::check_place(MetadataBlock at, const Seen& seen, KeyRange legal, bool is_root) {
    if (seen.entries > 0 && (seen.first_key < legal.first || seen.last_key > legal.last)) {
        damage("metadata block {}: keys {} to {}, its parent says {} to {}", at, seen.first_key,
               seen.last_key, legal.first, legal.last);
    }
    const bool foreign_leaf =
        seen.leaf && seen.kind == BlockKind::mapping_node;  // other tools leave them sparse
    const std::uint32_t value_size = !seen.leaf                             ? 8
                                     : seen.kind == BlockKind::details_node ? sizeof(DiskDetails)
                                     : seen.kind == BlockKind::bitmap_tree_node
                                         ? sizeof(DiskIndexEntry)
                                     : seen.kind == BlockKind::overflow_node ? 4
                                                                             : 8;
    const std::uint32_t least = foreign_leaf ? 1 : max_entries_for(value_size) / 3;
    if (!is_root && seen.entries < least) {
        damage("metadata block {}: {} entries, a {} below the root has {} at least", at,
               seen.entries, name_of(seen.kind), least);
    }
}

void Checker::expand(MetadataBlock at, const NodeView& view, BlockKind kind, KeyRange legal,
                     LeafVisitor visit, unsigned depth, Seen& seen) {
    seen.describe(view);
    if (seen.leaf) {
        if (visit != nullptr) (this->*visit)(view);
        return;
    }
    for (std::uint32_t i = 0; i < seen.entries; ++i) {
        const std::uint64_t last = i + 1 < seen.entries ? view.key(i + 1) - 1 : legal.last;
        const Seen* child = node(view.child(i), kind, {view.key(i), last}, false, visit, depth + 1);
        if (child == nullptr) continue;
        if (i > 0 && seen.height != child->height + 1)
            damage("metadata block {}: its leaves are not all at one depth", at);
        seen.height = static_cast<std::uint8_t>(child->height + 1);
        seen.leaf_entries += child->leaf_entries;
    }
}

void Checker::top_level_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i)
        mapping_roots_.emplace_back(leaf.key(i), leaf.child(i));
}

void Checker::details_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
        auto& [id, details] = details_.emplace_back(leaf.key(i), DiskDetails{});
        std::memcpy(&details, leaf.value(i), sizeof details);
    }
}

void Checker::bitmap_tree_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
        if (leaf.key(i) != index_.size() ||
            index_.size() > report_.superblock.metadata_space_map.blocks) {
            damage("data space map: bitmap {} follows {}", leaf.key(i), index_.size());
            return;
        }
        DiskIndexEntry entry;
        std::memcpy(&entry, leaf.value(i), sizeof entry);
        index_.push_back(entry);
    }
}

void Checker::overflow_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i)
        overflow_.emplace_back(leaf.key(i), load_le<std::uint32_t>(leaf.value(i)));
}

void Checker::volumes(MetadataBlock mapping_root, MetadataBlock details_root, const char* whose,
                      bool alone) {
    mapping_roots_.clear();
    details_.clear();
    node(mapping_root, BlockKind::top_level_node, {}, true, &Checker::top_level_leaf, 0);
    node(details_root, BlockKind::details_node, {}, true, &Checker::details_leaf, 0);
    const bool with_mappings = options_.scope != CheckOptions::Scope::no_mappings;
    if (with_mappings) {
        std::vector<MetadataBlock> roots;
        for (const auto& [id, root] : mapping_roots_) roots.push_back(root);
        survey(std::move(roots));
    }
    auto details = details_.begin();  // both ascend, or there was damage
    const auto without_mappings = [&](std::uint64_t id) {
        for (; details != details_.end() && details->first < id; ++details) {
            if (alone)
                damage("{}: thin id {} has details but no mapping tree", whose, details->first);
        }
    };
    for (const auto& [id, root] : mapping_roots_) {
        if (id > ThinId::max) damage("{}: thin id {} is over {}", whose, id, ThinId::max);
        const Seen* tree =
            with_mappings ? node(root, BlockKind::mapping_node, {}, true, nullptr, 0) : nullptr;
        if (tree != nullptr) report_.mappings += tree->leaf_entries;
        without_mappings(id);
        if (details == details_.end() || details->first != id) {
            if (alone) damage("{}: thin id {} has mappings but no details", whose, id);
            continue;
        }
        const std::uint64_t mapped = (details++)->second.mapped_blocks.get();
        if (tree == nullptr || tree->leaf_entries == mapped) continue;
        wrong_count("{}: thin id {} has {} mappings, its details say {}", whose, id,
                    tree->leaf_entries, mapped);
        report_.mapped_blocks.push_back({id, tree->leaf_entries});
    }
    without_mappings(~0ULL);
}

void Checker::metadata_snapshot() {
    const MetadataBlock held = report_.superblock.held_root;
    if (held == MetadataBlock(0)) return;
    metadata_->add(held.n);
    Block bytes;
    if (!read(held, BlockKind::superblock, bytes)) return;
    DiskSuperblock disk;
    std::memcpy(&disk, bytes.data(), sizeof disk);
    const bool alone = options_.scope == CheckOptions::Scope::metadata_snapshot;
    const std::uint64_t mappings = report_.mappings;
    const auto right = report_.mapped_blocks.size();
    volumes(MetadataBlock(disk.data_mapping_root.get()),
            MetadataBlock(disk.device_details_root.get()), "metadata snapshot", alone);
    if (report_.mapped_blocks.size() > right) {  // what is held cannot be set right
        report_.mapped_blocks.resize(right);
        damage("metadata snapshot: its details are wrong");
    }
    if (!alone) report_.mappings = mappings;
}

void Checker::overflow_tree(MetadataBlock root) {
    overflow_.clear();
    next_overflow_ = 0;
    node(root, BlockKind::overflow_node, {}, true, &Checker::overflow_leaf, 0);
    std::sort(overflow_.begin(), overflow_.end());  // it is already, unless there was damage
}

void Checker::rest_of_overflow(const Map& map) {
    for (; next_overflow_ < overflow_.size(); ++next_overflow_) {
        const auto [block, count] = overflow_[next_overflow_];
        damage("{} space map: a count of {} is stored for block {}", map.name, count, block);
    }
}

void Checker::compare(const Map& map, std::uint64_t block, std::uint64_t stored) {
    const std::uint64_t expected = map.expected.of(block);
    if (stored == expected || !counting()) return;
    const auto severity = stored > expected ? Severity::leak : Severity::wrong_count;
    report_.add(severity, fmt::format("{} space map: block {} has count {}, found {} references",
                                      map.name, block, stored, expected));
    map.right.push_back({block, expected});
}

void Checker::bitmap(const Map& map, std::uint64_t number, const DiskIndexEntry& entry,
                     std::uint64_t& used) {
    Block bytes;
    if (!read(MetadataBlock(entry.blocknr.get()), BlockKind::bitmap, bytes)) return;
    std::uint32_t free = 0;
    std::uint32_t first_free = entries_per_bitmap;
    const bool expect_none = !map.expected.any(number);
    for (std::uint32_t e = 0; e < entries_per_bitmap; ++e) {
        const std::uint64_t block = number * entries_per_bitmap + e;
        std::uint64_t stored = bitmap_get(bytes.data(), e);
        if (stored == 0) {
            ++free;
            first_free = std::min(first_free, e);
            if (expect_none) continue;
        }
        if (block >= map.root.blocks) {
            if (stored != 0)
                damage("{} space map: block {} has a count, the map ends at {}", map.name, block,
                       map.root.blocks);
            continue;
        }
        if (stored == count_in_overflow_tree) {
            const auto before = [&] {
                return next_overflow_ < overflow_.size() && overflow_[next_overflow_].first < block;
            };
            for (; before(); ++next_overflow_)
                damage("{} space map: a count of {} is stored for block {}", map.name,
                       overflow_[next_overflow_].second, overflow_[next_overflow_].first);
            if (next_overflow_ < overflow_.size() && overflow_[next_overflow_].first == block)
                stored = overflow_[next_overflow_++].second;
            else
                damage("{} space map: block {} has no count in the overflow tree", map.name, block);
        }
        used += stored != 0 ? 1 : 0;
        compare(map, block, stored);
    }
    index_entry(map, number, entry, free, first_free);
}

void Checker::index_entry(const Map& map, std::uint64_t number, const DiskIndexEntry& entry,
                          std::uint32_t free, std::uint32_t first_free) {
    // Other tools count only the entries inside the map, and thin_restore 0.9 counts one in the
    // metadata map that it then frees again: neither endangers anything.
    const std::uint64_t end = (number + 1) * entries_per_bitmap;
    const std::uint64_t beyond = end > map.root.blocks ? end - map.root.blocks : 0;
    const auto says = [&](std::uint64_t n) {
        return entry.nr_free.get() == n || entry.nr_free.get() + beyond == n;
    };
    const bool freed_late = &map.expected == &*metadata_ && free > 0 && says(free - 1);
    const bool hint = entry.none_free_before.get() <= first_free;
    if (freed_late || (says(free) && hint)) return;
    // Too few free, or a hint too high: space is lost, as what thin_check 1.x repairs leaves it.
    if (!says(free)) {
        report_.add(entry.nr_free.get() < free ? Severity::leak : Severity::wrong_count,
                    fmt::format("{} space map: bitmap {} has {} free entries, its index says {}",
                                map.name, number, free, entry.nr_free.get()));
    }
    if (!hint) {
        report_.add(Severity::leak,
                    fmt::format("{} space map: bitmap {} has entry {} free, its "
                                "index says none before {}",
                                map.name, number, first_free, entry.none_free_before.get()));
    }
    if (&map.expected == &*data_) report_.data_bitmaps.push_back(number);
}

void Checker::allocated(const Map& map, std::uint64_t used) {
    if (used == map.root.allocated) return;
    report_.add(used < map.root.allocated ? Severity::leak : Severity::wrong_count,
                fmt::format("{} space map: {} blocks in use, the superblock says {}", map.name,
                            used, map.root.allocated));
}

void Checker::data_space_map() {
    const Map map{"data", report_.superblock.data_space_map, *data_, report_.data_counts};
    index_.clear();
    node(map.root.bitmap_root, BlockKind::bitmap_tree_node, {}, true, &Checker::bitmap_tree_leaf,
         0);
    overflow_tree(map.root.ref_count_root);
    if (index_.size() != divide_up(map.root.blocks, entries_per_bitmap)) {
        damage("data space map: {} bitmaps for {} blocks", index_.size(), map.root.blocks);
        return;
    }
    for (std::uint64_t i = 0; i < index_.size(); ++i) {
        count_bitmap(index_[i]);
        bitmap(map, i, index_[i], report_.data_used);
    }
    rest_of_overflow(map);
    allocated(map, report_.data_used);
}

void Checker::metadata_space_map() {
    const Map map{"metadata", report_.superblock.metadata_space_map, *metadata_,
                  report_.metadata_counts};
    overflow_tree(map.root.ref_count_root);
    metadata_->add(map.root.bitmap_root.n);
    Block bytes;
    if (!read(map.root.bitmap_root, BlockKind::metadata_index, bytes)) return;
    DiskMetadataIndex index;
    std::memcpy(&index, bytes.data(), sizeof index);
    const std::uint64_t bitmaps = divide_up(map.root.blocks, entries_per_bitmap);
    for (std::uint64_t i = 0; i < bitmaps; ++i) count_bitmap(index.index[i]);
    for (std::uint64_t i = 0; i < bitmaps; ++i)
        bitmap(map, i, index.index[i], report_.metadata_used);
    rest_of_overflow(map);
    // thin_restore 0.9 writes one too many.
    if (report_.metadata_used + 1 != map.root.allocated) allocated(map, report_.metadata_used);
}

// The superblock, and whether its sizes can be believed.
Result<> Checker::begin() {
    Block bytes;
    TRY(within("superblock", read_now(device_, Sector(0), bytes)));
    auto superblock = Superblock::decode(bytes);
    if (!superblock) {
        damage("{}", superblock.error().text);
        return {};
    }
    report_.superblock = *superblock;
    const std::uint64_t blocks = report_.superblock.metadata_space_map.blocks;
    const std::uint64_t data_blocks = report_.superblock.data_space_map.blocks;
    if (blocks > to_metadata_blocks(device_.size()).n) {
        damage("the metadata device has {} blocks, its superblock says {}",
               to_metadata_blocks(device_.size()), blocks);
    } else if (divide_up(data_blocks, entries_per_bitmap) > blocks) {
        damage("superblock: {} metadata blocks cannot describe {} data blocks", blocks,
               data_blocks);
    } else {
        report_.superblock_valid = true;
        metadata_.emplace(blocks);
        data_.emplace(data_blocks);
        seen_.reset(static_cast<Seen*>(std::calloc(blocks, sizeof(Seen))));
        if (!seen_) throw std::bad_alloc();
        metadata_->add(0);
    }
    return {};
}

Result<CheckReport> Checker::run() {
    TRY(begin());
    using Scope = CheckOptions::Scope;
    if (!report_.superblock_valid || options_.scope == Scope::superblock) return std::move(report_);
    if (options_.scope == Scope::metadata_snapshot) {
        if (report_.superblock.held_root == MetadataBlock(0))
            return Error(Errc::not_found, "there is no metadata snapshot");
        metadata_snapshot();
        report_.volumes = mapping_roots_.size();
        return std::move(report_);
    }
    volumes(report_.superblock.mapping_root, report_.superblock.details_root, "pool", true);
    report_.volumes = mapping_roots_.size();
    metadata_snapshot();
    data_space_map();
    metadata_space_map();
    return std::move(report_);
}

}  // namespace

void CheckReport::add(Severity severity, std::string text) {
    constexpr std::size_t listed = 100;
    ++(severity == Severity::leak          ? leaks
       : severity == Severity::wrong_count ? wrong_counts
                                           : damages);
    if (findings.size() < listed) findings.push_back({severity, std::move(text)});
    else ++unlisted;
}

Result<CheckReport> check_metadata(BlockQueue& device, const CheckOptions& options) {
    return Checker(device, options).run();
}

}  // namespace thinvol
