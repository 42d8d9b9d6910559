// names: which names volume groups and volumes may have, and how a user points at one.
//
// Units       none
// Invariants  a valid name is never a path, an option or a reserved word of LVM's
// Errors      invalid_argument, saying which character or word
// Threads     any; pure
// Source      lvm(8), "VALID NAMES"
#pragma once

#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace thinvol {

inline constexpr std::size_t longest_name = 127;

Result<> check_group_name(std::string_view name);
Result<> check_volume_name(std::string_view name);

// "vg", "vg/volume", "/dev/vg/volume" or "/dev/mapper/vg-volume".
struct Reference {
    std::string group;
    std::string volume;  // empty: the group itself
};
Result<Reference> parse_reference(std::string_view text);
// What a volume is called below /dev/mapper.
std::string mapper_name(std::string_view group, std::string_view volume);
// "vg/volume"; a group alone is an error.
Result<Reference> parse_volume_reference(std::string_view text);

}  // namespace thinvol
