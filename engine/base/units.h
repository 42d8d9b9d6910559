// units: a type for each kind of number, so that a sector is never mistaken for a data block.
//
// Units       said by each type; an Index is an address, a Count a length, and they do not mix
// Invariants  (1) nothing converts implicitly; .n is for conversion, encoding and formatting only
//             (2) arithmetic that would wrap is a mistake of ours and asserts
// Errors      the checked constructors (ThinId::from, SnapTime::from) return invalid_argument
// Threads     any; values
// Source      dm-thin-metadata.c (24-bit ids, 40-bit blocks, 24-bit times)
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>

#include "engine/base/assert.h"
#include "engine/base/result.h"

namespace thinvol {

template <class Unit>
struct Count {
    std::uint64_t n = 0;
    constexpr Count() = default;
    constexpr explicit Count(std::uint64_t v) : n(v) {}
    constexpr auto operator<=>(const Count&) const = default;
    constexpr explicit operator bool() const { return n != 0; }
};
template <class Unit>
struct Index {
    std::uint64_t n = 0;
    constexpr Index() = default;
    constexpr explicit Index(std::uint64_t v) : n(v) {}
    constexpr auto operator<=>(const Index&) const = default;
};

namespace detail {
constexpr std::uint64_t add(std::uint64_t a, std::uint64_t b) {
    std::uint64_t r = 0;
    ASSERT(!__builtin_add_overflow(a, b, &r));
    return r;
}
constexpr std::uint64_t sub(std::uint64_t a, std::uint64_t b) {
    ASSERT(a >= b);
    return a - b;
}
constexpr std::uint64_t mul(std::uint64_t a, std::uint64_t b) {
    std::uint64_t r = 0;
    ASSERT(!__builtin_mul_overflow(a, b, &r));
    return r;
}
}  // namespace detail

template <class U>
constexpr Count<U> operator+(Count<U> a, Count<U> b) {
    return Count<U>(detail::add(a.n, b.n));
}
template <class U>
constexpr Count<U> operator-(Count<U> a, Count<U> b) {
    return Count<U>(detail::sub(a.n, b.n));
}
template <class U>
constexpr Count<U> operator*(Count<U> a, std::uint64_t k) {
    return Count<U>(detail::mul(a.n, k));
}
template <class U>
constexpr Index<U> operator+(Index<U> a, Count<U> b) {
    return Index<U>(detail::add(a.n, b.n));
}
template <class U>
constexpr Index<U> operator-(Index<U> a, Count<U> b) {
    return Index<U>(detail::sub(a.n, b.n));
}
template <class U>
constexpr Count<U> operator-(Index<U> a, Index<U> b) {
    return Count<U>(detail::sub(a.n, b.n));
}
template <class U>
constexpr Count<U>& operator+=(Count<U>& a, Count<U> b) {
    return a = a + b;
}
template <class U>
constexpr Count<U>& operator-=(Count<U>& a, Count<U> b) {
    return a = a - b;
}
template <class U>
constexpr Index<U>& operator+=(Index<U>& a, Count<U> b) {
    return a = a + b;
}
template <class U>
constexpr Index<U>& operator++(Index<U>& a) {
    return a = a + Count<U>(1);
}
// The end of a device of that many units: the first address behind it.
template <class U>
constexpr Index<U> end_of(Count<U> c) {
    return Index<U>(c.n);
}

using Bytes = Count<struct ByteUnit>;
using ByteOffset = Index<struct ByteUnit>;
using Sectors = Count<struct SectorUnit>;  // 512 bytes, whatever the disk says
using Sector = Index<struct SectorUnit>;
using DataBlocks = Count<struct DataBlockUnit>;
using DataBlock = Index<struct DataBlockUnit>;  // address on a pool's data device
using VirtualBlocks = Count<struct VirtualBlockUnit>;
using VirtualBlock = Index<struct VirtualBlockUnit>;  // address inside one thin volume
using MetadataBlocks = Count<struct MetadataBlockUnit>;
using MetadataBlock = Index<struct MetadataBlockUnit>;  // address on a pool's metadata device
using Extents = Count<struct ExtentUnit>;               // a volume group's unit of allocation
using Extent = Index<struct ExtentUnit>;
// Commits of one opening of a pool, 1, 2, 3 ...: in memory only. Not the user's transaction id.
using CommitNumber = Index<struct CommitUnit>;

inline constexpr std::uint64_t sector_bytes = 512;
inline constexpr std::uint64_t metadata_block_bytes = 4096;

constexpr Bytes to_bytes(Sectors s) { return Bytes(detail::mul(s.n, sector_bytes)); }
constexpr ByteOffset to_bytes(Sector s) { return ByteOffset(detail::mul(s.n, sector_bytes)); }
// Whole sectors only: a remainder is a mistake of ours.
constexpr Sectors to_sectors(Bytes b) {
    ASSERT(b.n % sector_bytes == 0);
    return Sectors(b.n / sector_bytes);
}
constexpr Sector to_sector(ByteOffset b) {
    ASSERT(b.n % sector_bytes == 0);
    return Sector(b.n / sector_bytes);
}
constexpr Sector to_sector(MetadataBlock b) {
    return Sector(detail::mul(b.n, metadata_block_bytes / sector_bytes));
}
constexpr MetadataBlocks to_metadata_blocks(Sectors s) {  // rounds down
    return MetadataBlocks(s.n / (metadata_block_bytes / sector_bytes));
}
constexpr std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return a / b + (a % b != 0); }

// A thin volume's number inside its pool: 24 bits.
class ThinId {
public:
    static constexpr std::uint32_t max = 0xffffff;
    constexpr ThinId() = default;
    static Result<ThinId> from(std::uint64_t v);
    // For numbers that were checked already, such as literals in tests.
    static constexpr ThinId checked(std::uint64_t v) {
        ASSERT(v <= max);
        return ThinId(static_cast<std::uint32_t>(v));
    }
    constexpr std::uint32_t n() const { return n_; }
    constexpr auto operator<=>(const ThinId&) const = default;

private:
    constexpr explicit ThinId(std::uint32_t v) : n_(v) {}
    std::uint32_t n_ = 0;
};

// The snapshot clock of a pool. On disk a mapping has 24 bits for it.
class SnapTime {
public:
    static constexpr std::uint32_t max = 0xffffff;
    constexpr SnapTime() = default;
    static Result<SnapTime> from(std::uint64_t v);
    static constexpr SnapTime checked(std::uint64_t v) {
        ASSERT(v <= max);
        return SnapTime(static_cast<std::uint32_t>(v));
    }
    constexpr std::uint32_t n() const { return n_; }
    constexpr auto operator<=>(const SnapTime&) const = default;

private:
    constexpr explicit SnapTime(std::uint32_t v) : n_(v) {}
    std::uint32_t n_ = 0;
};

// The number that the volume manager keeps in step between its catalog and the pool's superblock.
struct TransactionId {
    std::uint64_t n = 0;
    constexpr auto operator<=>(const TransactionId&) const = default;
    // After the last, which only a forged image has, comes 0: they are compared for being equal.
    constexpr TransactionId next() const { return {n + 1}; }
};

}  // namespace thinvol

template <class U>
struct fmt::formatter<thinvol::Count<U>> : fmt::formatter<std::uint64_t> {
    auto format(thinvol::Count<U> v, fmt::format_context& c) const {
        return fmt::formatter<std::uint64_t>::format(v.n, c);
    }
};
template <class U>
struct fmt::formatter<thinvol::Index<U>> : fmt::formatter<std::uint64_t> {
    auto format(thinvol::Index<U> v, fmt::format_context& c) const {
        return fmt::formatter<std::uint64_t>::format(v.n, c);
    }
};
template <>
struct fmt::formatter<thinvol::ThinId> : fmt::formatter<std::uint32_t> {
    auto format(thinvol::ThinId v, fmt::format_context& c) const {
        return fmt::formatter<std::uint32_t>::format(v.n(), c);
    }
};
template <>
struct fmt::formatter<thinvol::TransactionId> : fmt::formatter<std::uint64_t> {
    auto format(thinvol::TransactionId v, fmt::format_context& c) const {
        return fmt::formatter<std::uint64_t>::format(v.n, c);
    }
};
