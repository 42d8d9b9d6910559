// active_list: which volumes a pool's server exports, for the one that takes its place when it
// dies. Kept only where something starts that one.
//
// Units       none
// Invariants  a list is whole, the old or the new one
// Errors      io_error
// Threads     one at a time for a pool
// Source      none
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

Result<> write_active_list(const std::filesystem::path& path, const std::vector<std::int64_t>& ids);
// Empty where there is none.
std::vector<std::int64_t> read_active_list(const std::filesystem::path& path);

}  // namespace thinvol
