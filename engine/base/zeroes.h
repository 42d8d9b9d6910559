// zeroes: whether bytes are all zero.
//
// Units       bytes
// Invariants  none
// Errors      none
// Threads     any
// Source      memcmp of the bytes with themselves, one further on
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace thinvol {

inline bool all_zero(std::span<const std::byte> bytes) {
    return bytes.empty() || (bytes[0] == std::byte{0} &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace thinvol
