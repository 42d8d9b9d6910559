#include "engine/data_space_map.h"

#include <fmt/format.h>

#include <bit>

#include "engine/bitmap.h"

namespace thinvol {
namespace {

// Of an entry that is reserved or waits; the bit above it: it waits.
constexpr std::uint64_t busy_bit(std::uint32_t e) { return 1ULL << (2 * (e % entries_per_word)); }

}  // namespace

IndexValue::Type IndexValue::decode(const std::byte* p) {
    DiskIndexEntry disk;
    std::memcpy(&disk, p, sizeof disk);
    return {MetadataBlock(disk.blocknr.get()), disk.nr_free.get(), disk.none_free_before.get()};
}

void IndexValue::encode(std::byte* p, const Type& v) {
    DiskIndexEntry disk;
    disk.blocknr.set(v.at.n);
    disk.nr_free.set(v.free);
    disk.none_free_before.set(v.none_free_before);
    std::memcpy(p, &disk, sizeof disk);
}

Result<> DataSpaceMap::format() {
    tree_root_ = TRY(tree_.create());
    overflow_root_ = TRY(overflow_.create());
    return {};
}

Result<> DataSpaceMap::load(const SpaceMapRoot& root) {
    size_ = DataBlocks(root.blocks);
    tree_root_ = root.bitmap_root;
    overflow_root_ = root.ref_count_root;
    const std::uint64_t bitmaps = divide_up(root.blocks, entries_per_bitmap);
    bool in_order = true;
    TRY(tree_.for_range(
        tree_root_, 0, ~0ULL, [&](std::uint64_t key, const IndexValue::Type& entry) {
            in_order = key == index_.size() && key < bitmaps && entry.free <= entries_per_bitmap;
            if (in_order) index_.push_back({entry});
            return in_order;
        }));
    if (!in_order || index_.size() != bitmaps) {
        return Error(
            Errc::corrupt,
            fmt::format("data space map: {} blocks need {} bitmaps, entry {} is wrong or missing",
                        root.blocks, bitmaps, index_.size()));
    }
    if (!index_.empty()) TRY(recount_last());
    for (const Index& i : index_) used_ += entries_per_bitmap - i.entry.free;
    return {};
}

// What other tools stored for the last bitmap may count only the entries inside the map: count
// anew.
Result<> DataSpaceMap::recount_last() {
    Index& last = index_.back();
    Frame* frame = TRY(bitmap(index_.size() - 1));
    const std::uint64_t first = (index_.size() - 1) * entries_per_bitmap;
    const auto inside = static_cast<std::uint32_t>(size_.n - first);
    std::uint32_t used = 0;
    for (std::uint32_t w = 0; w < words_per_bitmap; ++w) {
        used += static_cast<std::uint32_t>(std::popcount(bitmap_used(frame->bytes, w)));
    }
    for (std::uint32_t e = inside; e < entries_per_bitmap; ++e) {
        if (bitmap_get(frame->bytes, e) != 0) {
            return Error(Errc::corrupt,
                         fmt::format("data space map: block {} is in use, the map ends at {}",
                                     first + e, size_));
        }
    }
    last.entry.free = entries_per_bitmap - used;
    return {};
}

Result<> DataSpaceMap::check_inside(DataBlock b) const {
    if (b < end_of(size_)) return {};
    return Error(Errc::corrupt,
                 fmt::format("data block {} is outside the data device of {} blocks", b, size_));
}

Result<Frame*> DataSpaceMap::changeable_bitmap(std::uint64_t i) {
    Index& index = index_[i];
    const auto [frame, was_shared] = TRY(tm_.shadow(index.entry.at, BlockKind::bitmap));
    if (was_shared)
        return Error(Errc::corrupt,
                     fmt::format("metadata block {} is a bitmap and shared", index.entry.at));
    index.entry.at = frame->at;
    if (!std::exchange(index.dirty, true)) dirty_list_.push_back(i);
    return frame;
}

Result<std::uint32_t> DataSpaceMap::count_up_to_three(DataBlock b) {
    TRY(check_inside(b));
    Frame* frame = TRY(bitmap(b.n / entries_per_bitmap));
    return bitmap_get(frame->bytes, static_cast<std::uint32_t>(b.n % entries_per_bitmap));
}

Result<std::uint32_t> DataSpaceMap::count(DataBlock b) {
    const std::uint32_t stored = TRY(count_up_to_three(b));
    if (stored < count_in_overflow_tree) return stored;
    const auto full = TRY(overflow_.lookup(overflow_root_, b.n));
    if (!full || *full < count_in_overflow_tree) {
        return Error(
            Errc::corrupt,
            fmt::format("data block {} has 3 or more references, but no count is stored", b));
    }
    return *full;
}

Result<> DataSpaceMap::store_count(DataBlock b, std::uint32_t old, std::uint32_t now) {
    const std::uint64_t i = b.n / entries_per_bitmap;
    const auto e = static_cast<std::uint32_t>(b.n % entries_per_bitmap);
    Frame* frame = TRY(changeable_bitmap(i));
    bitmap_set(frame->bytes, e, std::min(now, count_in_overflow_tree));
    if (now >= count_in_overflow_tree)
        overflow_root_ = TRY(overflow_.insert(overflow_root_, b.n, now)).root;
    else if (old >= count_in_overflow_tree)
        overflow_root_ = TRY(overflow_.remove(overflow_root_, b.n)).root;
    IndexValue::Type& entry = index_[i].entry;
    if (old == 0) {
        --entry.free;
        ++used_;
        if (entry.none_free_before == e) entry.none_free_before = e + 1;
    } else if (now == 0) {
        ++entry.free;
        --used_;
        entry.none_free_before = std::min(entry.none_free_before, e);
    }
    return {};
}

Result<> DataSpaceMap::correct_index(std::uint64_t i) {
    Frame* frame = TRY(changeable_bitmap(i));
    IndexValue::Type& entry = index_[i].entry;
    used_ -= entries_per_bitmap - entry.free;
    entry.free = 0;
    entry.none_free_before = entries_per_bitmap;
    for (std::uint32_t e = entries_per_bitmap; e-- > 0;) {
        if (bitmap_get(frame->bytes, e) != 0) continue;
        ++entry.free;
        entry.none_free_before = e;
    }
    used_ += entries_per_bitmap - entry.free;
    return {};
}

Result<> DataSpaceMap::increment(DataBlock b) {
    const std::uint32_t old = TRY(count(b));
    if (old == ~0U)
        return Error(Errc::unsupported, fmt::format("data block {} has too many references", b));
    if (old == 0) {
        const auto busy = busy_.find(b.n / entries_per_bitmap);
        const auto e = static_cast<std::uint32_t>(b.n % entries_per_bitmap);
        const bool reserved =
            busy != busy_.end() &&
            (busy->second->bits[e / entries_per_word] >> (2 * (e % entries_per_word)) & 3) == 1;
        // One that waits has been freed: who maps it still was not counted.
        if (!reserved)
            return Error(Errc::corrupt,
                         fmt::format("data block {} is mapped but counted as free", b));
        clear_busy(b);
        --reserved_;
    }
    return store_count(b, old, old + 1);
}

Result<> DataSpaceMap::decrement(DataBlock b) {
    const std::uint32_t old = TRY(count(b));
    if (old == 0)
        return Error(Errc::corrupt, fmt::format("data block {} is mapped but counted as free", b));
    TRY(store_count(b, old, old - 1));
    if (old > 1) return {};
    set_busy(b);
    const auto e = static_cast<std::uint32_t>(b.n % entries_per_bitmap);
    busy_[b.n / entries_per_bitmap]->bits[e / entries_per_word] |= busy_bit(e) << 1;  // it waits
    ++waiting_;
    pending_.add(tm_.open(), b);
    return {};
}

void DataSpaceMap::set_busy(DataBlock b) {
    const std::uint64_t i = b.n / entries_per_bitmap;
    const auto e = static_cast<std::uint32_t>(b.n % entries_per_bitmap);
    auto& busy = busy_[i];
    if (!busy) busy = std::make_unique<Busy>();
    const std::uint64_t bit = busy_bit(e);
    ASSERT((busy->bits[e / entries_per_word] & bit) == 0);
    busy->bits[e / entries_per_word] |= bit;
    ++index_[i].busy;
}

void DataSpaceMap::clear_busy(DataBlock b) {
    const std::uint64_t i = b.n / entries_per_bitmap;
    const auto e = static_cast<std::uint32_t>(b.n % entries_per_bitmap);
    const auto busy = busy_.find(i);
    ASSERT(busy != busy_.end());
    const std::uint64_t bit = busy_bit(e);
    ASSERT((busy->second->bits[e / entries_per_word] & bit) != 0);
    busy->second->bits[e / entries_per_word] &= ~(bit | bit << 1);
    if (--index_[i].busy == 0) busy_.erase(busy);
}

Result<DataBlock> DataSpaceMap::reserve() {
    if (allocatable().n == 0) {
        return Error(
            Errc::out_of_space,
            fmt::format("no free data block: {} of {} are in use, {} reserved, {} come back "
                        "after a commit",
                        used_, size_, reserved_, waiting_));
    }
    for (std::uint64_t step = 0; step <= index_.size(); ++step) {
        const std::uint64_t i = (cursor_ / entries_per_bitmap + step) % index_.size();
        const auto from = step == 0 ? static_cast<std::uint32_t>(cursor_ % entries_per_bitmap) : 0U;
        const auto found = TRY(find_free(i, from));
        if (!found) continue;
        set_busy(*found);
        ++reserved_;
        cursor_ = (found->n + 1) % size_.n;
        return *found;
    }
    return Error(Errc::corrupt,
                 fmt::format("data space map: {} blocks should be free, the bitmaps have none",
                             allocatable()));
}

Result<std::optional<DataBlock>> DataSpaceMap::find_free(std::uint64_t i, std::uint32_t from) {
    const Index& index = index_[i];
    if (index.entry.free <= index.busy) return std::optional<DataBlock>();
    Frame* frame = TRY(bitmap(i));
    const auto busy = busy_.find(i);
    const std::uint64_t first = i * entries_per_bitmap;
    from = std::max(from, std::min(index.entry.none_free_before, entries_per_bitmap - 1));
    for (std::uint32_t w = from / entries_per_word; w < words_per_bitmap; ++w) {
        std::uint64_t taken = bitmap_used(frame->bytes, w);
        if (busy != busy_.end()) taken |= busy->second->bits[w];
        if (w == from / entries_per_word)
            taken |= even_bits & ((1ULL << (2 * (from % entries_per_word))) - 1);
        const std::uint64_t candidates = ~taken & even_bits;
        if (candidates == 0) continue;
        const DataBlock found(first + std::uint64_t{w} * entries_per_word +
                              static_cast<unsigned>(std::countr_zero(candidates)) / 2);
        if (found >= end_of(size_)) break;
        return std::optional(found);
    }
    return std::optional<DataBlock>();
}

void DataSpaceMap::unreserve(DataBlock b) {
    clear_busy(b);
    --reserved_;
}

void DataSpaceMap::hand_back(DataBlock b) {
    clear_busy(b);
    --waiting_;
}

Result<> DataSpaceMap::grow(DataBlocks size) {
    ASSERT(size >= size_);
    for (std::uint64_t i = index_.size(); i < divide_up(size.n, entries_per_bitmap); ++i) {
        Frame* frame = TRY(tm_.create(BlockKind::bitmap));
        index_.push_back({{frame->at, entries_per_bitmap, 0}, 0, true});
        dirty_list_.push_back(i);
    }
    size_ = size;
    return {};
}

Result<SpaceMapRoot> DataSpaceMap::seal() {
    for (std::uint64_t i : dirty_list_) {
        Index& index = index_[i];
        tree_root_ = TRY(tree_.insert(tree_root_, i, index.entry)).root;
        index.dirty = false;
    }
    dirty_list_.clear();
    return SpaceMapRoot{size_.n, used_, tree_root_, overflow_root_};
}

}  // namespace thinvol
