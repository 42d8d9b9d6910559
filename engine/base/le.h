// Le<T>: a little-endian integer as it lies on disk; alignment 1, so structs of it have no padding.
//
// Units       bytes in storage order
// Invariants  a load and a store go through get() and set(); nothing converts by accident
// Errors      none
// Threads     any; values
// Source      thin-provisioning-tools base/endian_utils.h (the idea)
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace thinvol {

template <std::unsigned_integral T>
constexpr T from_little(T v) {
    if constexpr (std::endian::native == std::endian::big) return std::byteswap(v);
    return v;
}

template <std::unsigned_integral T>
struct Le {
    std::array<std::uint8_t, sizeof(T)> raw{};

    T get() const {
        T v;
        std::memcpy(&v, raw.data(), sizeof v);
        return from_little(v);
    }
    void set(T v) {
        v = from_little(v);
        std::memcpy(raw.data(), &v, sizeof v);
    }
};
using le32 = Le<std::uint32_t>;
using le64 = Le<std::uint64_t>;

template <std::unsigned_integral T>
inline T load_le(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return from_little(v);
}
template <std::unsigned_integral T>
inline void store_le(std::byte* p, T v) {
    v = from_little(v);
    std::memcpy(p, &v, sizeof v);
}

}  // namespace thinvol
