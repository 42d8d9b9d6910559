// Bitmap: the two-bit reference counts of a space map's bitmap block.
//
// Units       entries: entry e of bitmap i stands for block i * entries_per_bitmap + e
// Invariants  a stored value of 3 means "3 or more: the overflow tree has the count"
// Errors      none
// Threads     externally synchronised
// Source      dm-space-map-common.c; the lower bit of a pair is the high bit of the value
#pragma once

#include "engine/format.h"

namespace thinvol {

inline constexpr std::uint32_t count_in_overflow_tree = 3;

inline std::uint32_t bitmap_get(const std::byte* block, std::uint32_t entry) {
    const auto pair = std::to_integer<std::uint32_t>(block[sizeof(DiskBitmapHeader) + entry / 4]) >>
                      (2 * (entry % 4));
    return (pair & 1) << 1 | (pair >> 1 & 1);
}

inline void bitmap_set(std::byte* block, std::uint32_t entry, std::uint32_t value) {
    DEBUG_ASSERT(value <= count_in_overflow_tree);
    const std::uint32_t pair = (value & 1) << 1 | value >> 1;
    const std::uint32_t shift = 2 * (entry % 4);
    std::byte& at = block[sizeof(DiskBitmapHeader) + entry / 4];
    at = (at & ~std::byte(3U << shift)) | std::byte(pair << shift);
}

// Word w of the bitmap, reduced to one bit an entry (at even positions): set where the count is not
// 0.
inline constexpr std::uint64_t even_bits = 0x5555555555555555ULL;
inline std::uint64_t bitmap_used(const std::byte* block, std::uint32_t w) {
    const auto word = load_le<std::uint64_t>(block + sizeof(DiskBitmapHeader) + 8UL * w);
    return (word | word >> 1) & even_bits;
}

}  // namespace thinvol
