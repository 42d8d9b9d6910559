// sizes: how users write sizes and how reports print them, as LVM does.
//
// Units       input is 1024-based whatever the case of its letter; output follows --units
// Invariants  a size that is not zero never prints as 0.00%, one that is not full never as 100.00%
// Errors      invalid_argument
// Threads     any; pure
// Source      lvm(8); lvs(8), --units
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/base/units.h"

namespace thinvol {

// "123": digits and nothing else, 64 bits at most.
Result<std::uint64_t> parse_number(std::string_view text);

enum class Sign { none, plus, minus };

struct SizeArgument {
    Sign sign = Sign::none;
    Bytes size{};
};
// "10g", "+1.5t", "2048s"; without a letter the unit is `default_unit` (one of bskmgtpe).
Result<SizeArgument> parse_size(std::string_view text, char default_unit);

struct ExtentsArgument {
    Sign sign = Sign::none;
    std::uint64_t number = 0;  // extents, or percent
    enum class Of { extents, group, free, pvs, volume, origin } of = Of::extents;
};
// "100", "+25%FREE", "50%VG".
Result<ExtentsArgument> parse_extents(std::string_view text);

struct Units {
    char letter = 'r';         // of --units
    std::uint64_t factor = 0;  // of "4m" and the like: the user's own unit
    bool suffix = true;
};
Result<Units> parse_units(std::string_view text);
// "10.00g", "<9.77g", "1024"
std::string format_size(Bytes size, const Units& units);
// "10.00 GiB", as messages have it.
std::string format_size_long(Bytes size);
// "12.94"; with the two rules above.
std::string format_percent(std::uint64_t part, std::uint64_t whole);

}  // namespace thinvol
