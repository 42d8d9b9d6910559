// crc32c: the Castagnoli checksum, as a register that is neither inverted at the end nor at the
// start.
//
// Units       bytes
// Invariants  crc32c_register(~0, "123456789") == 0x1cf96d7c
// Errors      none
// Threads     any; pure
// Source      dm-thin's dm_bm_checksum; RFC 3720 for the polynomial (0x82f63b78 reflected)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace thinvol {

// Feeds `bytes` to the register. Uses the processor's instruction where there is one.
std::uint32_t crc32c_register(std::uint32_t crc, std::span<const std::byte> bytes);

// The standard CRC-32C of `bytes` (inverted at both ends), for our own formats.
inline std::uint32_t crc32c(std::span<const std::byte> bytes) {
    return ~crc32c_register(~0U, bytes);
}

}  // namespace thinvol
