// uuid: identities of objects, 128 random bits as 32 lower-case hexadecimal digits.
//
// Units       none
// Invariants  never reused; an object keeps it for life
// Errors      none: no randomness ends the process
// Threads     any
// Source      getrandom(2)
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace thinvol {

using UuidBytes = std::array<std::byte, 16>;

std::string new_uuid();
// Nothing unless exactly 32 hexadecimal digits.
std::optional<UuidBytes> uuid_bytes(std::string_view text);
std::string uuid_text(const UuidBytes& bytes);
// In the groups that LVM shows: 6-4-4-4-4-4-6.
std::string grouped_uuid(std::string_view text);

}  // namespace thinvol
