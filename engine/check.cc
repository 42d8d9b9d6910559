#include "engine/check.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <unordered_map>

#include "engine/bitmap.h"
#include "engine/block_cache.h"
#include "engine/node.h"

namespace thinvol {
namespace {

using Severity = CheckReport::Severity;

// How often each block of a device was found to be referenced; memory only where there was
// something.
class Tally {
public:
    void add(std::uint64_t b) {
        auto& page = pages_[b / page_size];
        if (!page) page = std::make_unique<std::array<std::uint8_t, page_size>>();
        std::uint8_t& c = (*page)[b % page_size];
        if (c < full) ++c;
        else ++more_[b];
    }
    std::uint64_t of(std::uint64_t b) const {
        const auto page = pages_.find(b / page_size);
        if (page == pages_.end()) return 0;
        const std::uint8_t c = (*page->second)[b % page_size];
        if (c < full) return c;
        const auto more = more_.find(b);
        return full + (more == more_.end() ? 0 : more->second);
    }

private:
    static constexpr std::uint64_t page_size = entries_per_bitmap;
    static constexpr std::uint8_t full = 255;
    std::unordered_map<std::uint64_t, std::unique_ptr<std::array<std::uint8_t, page_size>>> pages_;
    std::unordered_map<std::uint64_t, std::uint64_t> more_;
};

class Checker {
public:
    explicit Checker(BlockQueue& device) : device_(device) {}
    Result<CheckReport> run();

private:
    struct KeyRange {
        std::uint64_t first = 0;
        std::uint64_t last = ~0ULL;
    };
    // What is known of a node once it was expanded.
    struct Seen {
        BlockKind kind;
        bool usable = false;
        bool leaf = false;
        std::uint32_t entries = 0;
        std::uint64_t first_key = 0;
        std::uint64_t last_key = 0;
        std::uint64_t leaf_entries = 0;  // below it
        unsigned height = 0;
    };
    using Block = std::array<std::byte, metadata_block_bytes>;
    using LeafVisitor = void (Checker::*)(const NodeView& leaf);

    bool read(MetadataBlock at, BlockKind kind, Block& into);
    // Counts a reference to a node and expands it the first time. Null if it is unusable.
    const Seen* node(MetadataBlock at, BlockKind kind, KeyRange legal, bool is_root,
                     LeafVisitor visit, unsigned depth);
    void expand(MetadataBlock at, const NodeView& view, BlockKind kind, KeyRange legal,
                LeafVisitor visit, unsigned depth, Seen& seen);
    void check_place(MetadataBlock at, const Seen& seen, KeyRange legal, bool is_root);
    void mapping_leaf(const NodeView& leaf);
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
    using Overflow = std::unordered_map<std::uint64_t, std::uint32_t>;
    void bitmap(const char* map, std::uint64_t number, const DiskIndexEntry& entry,
                std::uint64_t size, const Tally& expected, std::uint64_t& used);
    void compare(const char* map, std::uint64_t block, std::uint64_t stored,
                 std::uint64_t expected);
    Overflow overflow_tree(MetadataBlock root);

    template <class... Args>
    void damage(fmt::format_string<Args...> text, Args&&... args) {
        report_.add(Severity::damage, fmt::format(text, std::forward<Args>(args)...));
    }

    BlockQueue& device_;
    CheckReport report_;
    Tally metadata_;
    Tally data_;
    std::unordered_map<std::uint64_t, Seen> seen_;
    std::unordered_map<std::uint64_t, std::uint64_t> mapping_roots_;  // thin id -> root
    std::unordered_map<std::uint64_t, DiskDetails> details_;
    std::vector<DiskIndexEntry> index_;
    Overflow overflow_;
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

const Checker::Seen* Checker::node(MetadataBlock at, BlockKind kind, KeyRange legal, bool is_root,
                                   LeafVisitor visit, unsigned depth) {
    metadata_.add(at.n);
    auto found = seen_.find(at.n);
    if (found == seen_.end()) {
        Seen seen{kind};
        Block bytes;
        if (depth > max_tree_depth) {
            damage("the tree above metadata block {} is deeper than {} levels", at, max_tree_depth);
        } else if (read(at, kind, bytes)) {
            seen.usable = true;
            seen_.emplace(at.n,
                          seen);  // before its children: a cycle meets it unfinished, and stops
            expand(at, NodeView(bytes.data()), kind, legal, visit, depth, seen);
        }
        found = seen_.insert_or_assign(at.n, seen).first;
    } else if (found->second.kind != kind) {
        damage("metadata block {} is used both as {} and as {}", at, name_of(found->second.kind),
               name_of(kind));
        return nullptr;
    }
    if (!found->second.usable) return nullptr;
    check_place(at, found->second, legal, is_root);
    return &found->second;
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
    seen.leaf = view.is_leaf();
    seen.entries = view.entries();
    if (seen.entries > 0) {
        seen.first_key = view.key(0);
        seen.last_key = view.key(seen.entries - 1);
    }
    if (seen.leaf) {
        seen.leaf_entries = seen.entries;
        (this->*visit)(view);
        return;
    }
    for (std::uint32_t i = 0; i < seen.entries; ++i) {
        const std::uint64_t last = i + 1 < seen.entries ? view.key(i + 1) - 1 : legal.last;
        const Seen* child = node(view.child(i), kind, {view.key(i), last}, false, visit, depth + 1);
        if (child == nullptr) continue;
        if (i > 0 && seen.height != child->height + 1)
            damage("metadata block {}: its leaves are not all at one depth", at);
        seen.height = child->height + 1;
        seen.leaf_entries += child->leaf_entries;
    }
}

void Checker::mapping_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
        const std::uint64_t block = load_le<std::uint64_t>(leaf.value(i)) >> 24;
        if (block < report_.superblock.data_space_map.blocks) {
            data_.add(block);
        } else {
            damage("virtual block {} is mapped to data block {}, the pool has {}", leaf.key(i),
                   block, report_.superblock.data_space_map.blocks);
        }
    }
}

void Checker::top_level_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i)
        mapping_roots_[leaf.key(i)] = leaf.child(i).n;
}

void Checker::details_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i)
        std::memcpy(&details_[leaf.key(i)], leaf.value(i), sizeof(DiskDetails));
}

void Checker::bitmap_tree_leaf(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i) {
        if (leaf.key(i) != index_.size()) {
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
        overflow_[leaf.key(i)] = load_le<std::uint32_t>(leaf.value(i));
}

void Checker::volumes(MetadataBlock mapping_root, MetadataBlock details_root, const char* whose,
                      bool alone) {
    mapping_roots_.clear();
    details_.clear();
    node(mapping_root, BlockKind::top_level_node, {}, true, &Checker::top_level_leaf, 0);
    node(details_root, BlockKind::details_node, {}, true, &Checker::details_leaf, 0);
    for (const auto& [id, root] : mapping_roots_) {
        if (id > ThinId::max) damage("{}: thin id {} is over {}", whose, id, ThinId::max);
        const Seen* tree =
            node(MetadataBlock(root), BlockKind::mapping_node, {}, true, &Checker::mapping_leaf, 0);
        const auto details = details_.find(id);
        if (details == details_.end()) {
            if (alone) damage("{}: thin id {} has mappings but no details", whose, id);
        } else if (tree != nullptr && tree->leaf_entries != details->second.mapped_blocks.get()) {
            damage("{}: thin id {} has {} mappings, its details say {}", whose, id,
                   tree->leaf_entries, details->second.mapped_blocks.get());
        }
        if (tree != nullptr) report_.mappings += tree->leaf_entries;
    }
    for (const auto& [id, details] : details_) {
        if (alone && !mapping_roots_.contains(id))
            damage("{}: thin id {} has details but no mapping tree", whose, id);
    }
}

void Checker::metadata_snapshot() {
    const MetadataBlock held = report_.superblock.held_root;
    if (held == MetadataBlock(0)) return;
    metadata_.add(held.n);
    Block bytes;
    if (!read(held, BlockKind::superblock, bytes)) return;
    DiskSuperblock disk;
    std::memcpy(&disk, bytes.data(), sizeof disk);
    const std::uint64_t mappings = report_.mappings;
    volumes(MetadataBlock(disk.data_mapping_root.get()),
            MetadataBlock(disk.device_details_root.get()), "metadata snapshot", false);
    report_.mappings = mappings;
}

Checker::Overflow Checker::overflow_tree(MetadataBlock root) {
    overflow_.clear();
    node(root, BlockKind::overflow_node, {}, true, &Checker::overflow_leaf, 0);
    return std::exchange(overflow_, {});
}

void Checker::compare(const char* map, std::uint64_t block, std::uint64_t stored,
                      std::uint64_t expected) {
    if (stored == expected) return;
    const auto severity = stored > expected ? Severity::leak : Severity::damage;
    report_.add(severity, fmt::format("{} space map: block {} has count {}, found {} references",
                                      map, block, stored, expected));
}

void Checker::bitmap(const char* map, std::uint64_t number, const DiskIndexEntry& entry,
                     std::uint64_t size, const Tally& expected, std::uint64_t& used) {
    Block bytes;
    if (!read(MetadataBlock(entry.blocknr.get()), BlockKind::bitmap, bytes)) return;
    std::uint32_t free = 0;
    std::uint32_t first_free = entries_per_bitmap;
    for (std::uint32_t e = 0; e < entries_per_bitmap; ++e) {
        const std::uint64_t block = number * entries_per_bitmap + e;
        std::uint64_t stored = bitmap_get(bytes.data(), e);
        if (stored == 0) {
            ++free;
            first_free = std::min(first_free, e);
        }
        if (block >= size) {
            if (stored != 0)
                damage("{} space map: block {} has a count, the map ends at {}", map, block, size);
            continue;
        }
        if (stored == count_in_overflow_tree) {
            const auto full = overflow_.find(block);
            if (full == overflow_.end())
                damage("{} space map: block {} has no count in the overflow tree", map, block);
            else stored = full->second;
            overflow_.erase(block);
        }
        used += stored != 0 ? 1 : 0;
        compare(map, block, stored, expected.of(block));
    }
    // Other tools count only the entries inside the map, and thin_restore 0.9 counts one in the
    // metadata map that it then frees again: neither endangers anything.
    const std::uint64_t beyond =
        (number + 1) * entries_per_bitmap > size ? (number + 1) * entries_per_bitmap - size : 0;
    const auto says = [&](std::uint64_t n) {
        return entry.nr_free.get() == n || entry.nr_free.get() + beyond == n;
    };
    const bool freed_late = &expected == &metadata_ && free > 0 && says(free - 1);
    if (!says(free) && !freed_late) {
        damage("{} space map: bitmap {} has {} free entries, its index says {}", map, number, free,
               entry.nr_free.get());
    }
    if (entry.none_free_before.get() > first_free && !freed_late) {
        damage("{} space map: bitmap {} has entry {} free, its index says none before {}", map,
               number, first_free, entry.none_free_before.get());
    }
}

void Checker::data_space_map() {
    const SpaceMapRoot& root = report_.superblock.data_space_map;
    index_.clear();
    node(root.bitmap_root, BlockKind::bitmap_tree_node, {}, true, &Checker::bitmap_tree_leaf, 0);
    overflow_ = overflow_tree(root.ref_count_root);
    if (index_.size() != divide_up(root.blocks, entries_per_bitmap)) {
        damage("data space map: {} bitmaps for {} blocks", index_.size(), root.blocks);
    }
    for (std::uint64_t i = 0; i < index_.size(); ++i) {
        metadata_.add(index_[i].blocknr.get());
        bitmap("data", i, index_[i], root.blocks, data_, report_.data_used);
    }
    for (const auto& [block, count] : overflow_)
        damage("data space map: a count of {} is stored for block {}", count, block);
    if (report_.data_used != root.allocated) {
        damage("data space map: {} blocks in use, the superblock says {}", report_.data_used,
               root.allocated);
    }
}

void Checker::metadata_space_map() {
    const SpaceMapRoot& root = report_.superblock.metadata_space_map;
    overflow_ = overflow_tree(root.ref_count_root);
    metadata_.add(root.bitmap_root.n);
    Block bytes;
    if (!read(root.bitmap_root, BlockKind::metadata_index, bytes)) return;
    DiskMetadataIndex index;
    std::memcpy(&index, bytes.data(), sizeof index);
    const std::uint64_t bitmaps = divide_up(root.blocks, entries_per_bitmap);
    for (std::uint64_t i = 0; i < bitmaps; ++i) metadata_.add(index.index[i].blocknr.get());
    for (std::uint64_t i = 0; i < bitmaps; ++i) {
        bitmap("metadata", i, index.index[i], root.blocks, metadata_, report_.metadata_used);
    }
    for (const auto& [block, count] : overflow_)
        damage("metadata space map: a count of {} is stored for block {}", count, block);
    // thin_restore 0.9 writes one too many.
    if (report_.metadata_used != root.allocated && report_.metadata_used + 1 != root.allocated) {
        damage("metadata space map: {} blocks in use, the superblock says {}",
               report_.metadata_used, root.allocated);
    }
}

Result<CheckReport> Checker::run() {
    Block bytes;
    TRY(within("superblock", read_now(device_, Sector(0), bytes)));
    metadata_.add(0);
    auto superblock = Superblock::decode(bytes);
    if (!superblock) {
        damage("{}", superblock.error().text);
        return std::move(report_);
    }
    report_.superblock = *superblock;
    report_.superblock_valid = true;
    if (report_.superblock.metadata_space_map.blocks > to_metadata_blocks(device_.size()).n) {
        damage("the metadata device has {} blocks, its superblock says {}",
               to_metadata_blocks(device_.size()), report_.superblock.metadata_space_map.blocks);
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
    ++(severity == Severity::leak ? leaks : damages);
    if (findings.size() < listed) findings.push_back({severity, std::move(text)});
    else ++unlisted;
}

Result<CheckReport> check_metadata(BlockQueue& device) { return Checker(device).run(); }

}  // namespace thinvol
