// durable_file: a small file replaced as a whole.
//
// Units       none
// Invariants  afterwards the file is there, durable and private, or what was there before
// Errors      io_error, out_of_space, not_found: no such directory
// Threads     any
// Source      rename(2), fsync(2)
#pragma once

#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace thinvol {

Result<> replace_file(const std::string& path, std::string_view text);

}  // namespace thinvol
