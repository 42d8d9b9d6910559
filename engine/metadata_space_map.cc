#include "engine/metadata_space_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "engine/bitmap.h"
#include "engine/node.h"

namespace thinvol {

MetadataSpaceMap::MetadataSpaceMap(MetadataBlocks size) { grow(size); }

MetadataSpaceMap MetadataSpaceMap::empty(MetadataBlocks size) {
    MetadataSpaceMap map(size);
    const auto superblock = map.allocate();
    ASSERT(superblock == MetadataBlock(0));
    return map;
}

void MetadataSpaceMap::grow(MetadataBlocks size) {
    ASSERT(size <= max_metadata_blocks);
    const std::uint64_t old = counts_.size();
    ASSERT(size.n >= old);
    counts_.resize(size.n, 0);
    fresh_.resize(size.n, false);
    allocatable_.resize(divide_up(size.n, 64), 0);
    for (std::uint64_t b = old; b < size.n; ++b) set_allocatable(b, true);
    const std::uint64_t bitmaps = divide_up(size.n, entries_per_bitmap);
    bitmap_at_.resize(bitmaps);
    const auto first_new = old == 0 ? 0 : (old - 1) / entries_per_bitmap;
    dirty_.resize(bitmaps, false);
    for (std::uint64_t i = first_new; i < bitmaps; ++i) dirty_[i] = true;
}

void MetadataSpaceMap::set_allocatable(std::uint64_t b, bool value) {
    const std::uint64_t bit = 1ULL << (b % 64);
    ASSERT(((allocatable_[b / 64] & bit) != 0) != value);
    allocatable_[b / 64] ^= bit;
    allocatable_count_ += value ? 1 : -1ULL;
}

std::uint32_t MetadataSpaceMap::count(MetadataBlock b) const {
    ASSERT(b.n < counts_.size());
    return counts_[b.n] == in_large ? large_.at(b.n) : counts_[b.n];
}

void MetadataSpaceMap::set_count(MetadataBlock b, std::uint32_t value) {
    const std::uint32_t old = count(b);
    if (old >= count_in_overflow_tree || value >= count_in_overflow_tree) {
        overflow_changes_.try_emplace(b.n, old >= count_in_overflow_tree);
    }
    if (value >= in_large) large_[b.n] = value;
    else if (old >= in_large) large_.erase(b.n);
    counts_[b.n] = static_cast<std::uint8_t>(std::min<std::uint32_t>(value, in_large));
    used_ += (old == 0 && value != 0) ? 1 : 0;
    used_ -= (old != 0 && value == 0) ? 1 : 0;
    dirty_[b.n / entries_per_bitmap] = true;
}

std::optional<MetadataBlock> MetadataSpaceMap::allocate() {
    if (allocatable_count_ == 0) return std::nullopt;
    const std::uint64_t words = allocatable_.size();
    for (std::uint64_t step = 0; step <= words; ++step) {
        std::uint64_t w = cursor_ / 64 + step;
        std::uint64_t candidates = ~0ULL;
        if (step == 0)
            candidates <<= cursor_ % 64;  // of the first word, only what lies behind the cursor
        if (w >= words) w -= words;
        candidates &= allocatable_[w];
        if (candidates == 0) continue;
        const MetadataBlock found(w * 64 + static_cast<unsigned>(std::countr_zero(candidates)));
        ASSERT(count(found) == 0);
        set_allocatable(found.n, false);
        set_count(found, 1);
        fresh_[found.n] = true;
        fresh_list_.push_back(found);
        cursor_ = (found.n + 1) % counts_.size();
        return found;
    }
    assertion_failed("not reached", __FILE__, __LINE__);
}

Result<> MetadataSpaceMap::increment(MetadataBlock b) {
    const std::uint32_t old = count(b);
    if (old == 0)
        return Error(Errc::corrupt,
                     fmt::format("metadata block {} is referenced but counted as free", b));
    if (old == ~0U)
        return Error(Errc::unsupported,
                     fmt::format("metadata block {} has too many references", b));
    set_count(b, old + 1);
    return {};
}

Result<> MetadataSpaceMap::decrement(MetadataBlock b, CommitNumber open) {
    const std::uint32_t old = count(b);
    if (old == 0)
        return Error(Errc::corrupt,
                     fmt::format("metadata block {} is referenced but counted as free", b));
    set_count(b, old - 1);
    if (old > 1) return {};
    if (fresh_[b.n]) {
        fresh_[b.n] = false;
        set_allocatable(b.n, true);
    } else {
        pending_.add(open, b);
    }
    return {};
}

void MetadataSpaceMap::correct(MetadataBlock b, std::uint32_t right) {
    if ((count(b) == 0) != (right == 0)) set_allocatable(b.n, right == 0);
    set_count(b, right);
}

void MetadataSpaceMap::settle(CommitNumber durable, CommitNumber oldest_pin) {
    for (MetadataBlock b : pending_.settle(durable, oldest_pin)) {
        ASSERT(count(b) == 0);
        set_allocatable(b.n, true);
    }
}

void MetadataSpaceMap::sealed() {
    for (MetadataBlock b : fresh_list_) fresh_[b.n] = false;
    fresh_list_.clear();
    dirty_.assign(dirty_.size(), false);
    ASSERT(overflow_changes_.empty());
}

void MetadataSpaceMap::encode_bitmap(std::uint32_t bitmap, std::byte* block) const {
    const std::uint64_t first = std::uint64_t{bitmap} * entries_per_bitmap;
    const std::uint64_t n = std::min<std::uint64_t>(entries_per_bitmap, counts_.size() - first);
    for (std::uint32_t e = 0; e < n; ++e) {
        const std::uint8_t c = counts_[first + e];
        if (c != 0) bitmap_set(block, e, std::min<std::uint32_t>(c, count_in_overflow_tree));
    }
}

void MetadataSpaceMap::encode_index(std::byte* block) const {
    for (std::uint32_t i = 0; i < bitmaps(); ++i) {
        const std::uint64_t first = std::uint64_t{i} * entries_per_bitmap;
        const std::uint64_t n = std::min<std::uint64_t>(entries_per_bitmap, counts_.size() - first);
        const auto begin = counts_.begin() + static_cast<std::ptrdiff_t>(first);
        const auto end = begin + static_cast<std::ptrdiff_t>(n);
        const auto in_use =
            static_cast<std::uint32_t>(n) - static_cast<std::uint32_t>(std::count(begin, end, 0));
        DiskIndexEntry entry;
        entry.blocknr.set(bitmap_at_[i].n);
        entry.nr_free.set(entries_per_bitmap - in_use);
        entry.none_free_before.set(static_cast<std::uint32_t>(std::find(begin, end, 0) - begin));
        std::memcpy(block + offsetof(DiskMetadataIndex, index) + i * sizeof entry, &entry,
                    sizeof entry);
    }
}

Result<MetadataSpaceMap> MetadataSpaceMap::load(BlockCache& cache, const SpaceMapRoot& root) {
    MetadataSpaceMap map{MetadataBlocks(root.blocks)};
    map.index_at_ = root.bitmap_root;
    map.overflow_root_ = root.ref_count_root;
    Frame* index = TRY(cache.read(root.bitmap_root, BlockKind::metadata_index));
    for (std::uint32_t i = 0; i < map.bitmaps(); ++i) {
        DiskIndexEntry entry;
        std::memcpy(&entry, index->bytes + offsetof(DiskMetadataIndex, index) + i * sizeof entry,
                    sizeof entry);
        map.bitmap_at_[i] = MetadataBlock(entry.blocknr.get());
        TRY(map.load_bitmap(cache, i));
    }
    std::uint64_t overflow_entries = 0;
    TRY(map.load_overflow(cache, root.ref_count_root, 0, overflow_entries));
    const auto in_overflow = static_cast<std::uint64_t>(
        std::count_if(map.counts_.begin(), map.counts_.end(),
                      [](auto c) { return c >= count_in_overflow_tree; }));
    if (in_overflow != overflow_entries) {
        return Error(
            Errc::corrupt,
            fmt::format("metadata space map: {} blocks have 3 or more references, {} counts "
                        "are stored",
                        in_overflow, overflow_entries));
    }
    if (map.counts_[0] == 0)
        return Error(Errc::corrupt, "metadata space map: the superblock is counted as free");
    map.overflow_changes_.clear();
    map.sealed();
    return map;
}

Result<> MetadataSpaceMap::load_bitmap(BlockCache& cache, std::uint32_t bitmap) {
    Frame* frame = TRY(cache.read(bitmap_at_[bitmap], BlockKind::bitmap));
    const std::uint64_t first = std::uint64_t{bitmap} * entries_per_bitmap;
    const std::uint64_t n = std::min<std::uint64_t>(entries_per_bitmap, counts_.size() - first);
    for (std::uint32_t e = 0; e < n; ++e) {
        const std::uint32_t c = bitmap_get(frame->bytes, e);
        if (c == 0) continue;
        set_allocatable(first + e, false);
        set_count(MetadataBlock(first + e), c);
    }
    return {};
}

Result<> MetadataSpaceMap::load_overflow(BlockCache& cache, MetadataBlock at, unsigned depth,
                                         std::uint64_t& entries) {
    if (depth > max_tree_depth)
        return Error(Errc::corrupt, "metadata space map: overflow tree too deep");
    Frame* frame = TRY(cache.read(at, BlockKind::overflow_node));
    const NodeView node(frame->bytes);
    for (std::uint32_t i = 0; i < node.entries(); ++i) {
        if (!node.is_leaf()) {
            TRY(load_overflow(cache, node.child(i), depth + 1, entries));
            continue;
        }
        const std::uint64_t b = node.key(i);
        const auto c = load_le<std::uint32_t>(node.value(i));
        if (b >= counts_.size() || counts_[b] < count_in_overflow_tree ||
            c < count_in_overflow_tree) {
            return Error(Errc::corrupt, fmt::format("metadata space map: stored count {} for "
                                                    "metadata block {} contradicts its bitmap",
                                                    c, b));
        }
        set_count(MetadataBlock(b), c);
        ++entries;
    }
    return {};
}

}  // namespace thinvol
