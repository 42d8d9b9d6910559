// device_links: names of volumes that lead to their block devices: /dev/thinvol/VG/LV.
//
// Units       none
// Invariants  a link leads to a device that was there when it was made; it is replaced as a whole
// Errors      io_error
// Threads     one at a time for a pool
// Source      none
#pragma once

#include <filesystem>
#include <string>

#include "engine/base/result.h"

namespace thinvol {

Result<> make_device_link(const std::filesystem::path& link, const std::string& node);
// With directories that are empty then, the group's and the one above.
void remove_device_link(const std::filesystem::path& link);
// Those of all groups below `directory` that lead to the node.
void remove_device_links_to(const std::filesystem::path& directory, const std::string& node);

}  // namespace thinvol
