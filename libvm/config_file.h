// config_file: thinvol.toml as it was written.
//
// Units       lines from 1
// Invariants  a file that others could have written is not believed: its hook is run
// Errors      invalid_argument: not TOML, with file and line; io_error
// Threads     any
// Source      toml.io, version 1.0
#pragma once

#include <filesystem>
#include <vector>

#include "libvm/settings.h"

namespace thinvol {

struct ConfigFile {
    std::vector<Assignment> settings;
    std::vector<std::string> problems;  // "FILE:3: ...": unknown keys, values that do not fit
};

// Nothing where there is no file.
Result<ConfigFile> read_config_file(const std::filesystem::path& path);

}  // namespace thinvol
