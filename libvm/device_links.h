// device_links: names of volumes that lead to their block devices: /dev/thinvol/VG/LV.
//
// Units       none
// Invariants  (1) a link leads to a device that was there when it was made; it is replaced as a
//                 whole
//             (2) udev is told of a name before the link is there, and of its end: it has the
//                 device by that name too, and systemd's units can wait for it
// Errors      io_error
// Threads     one at a time for a pool
// Source      udev(7)
#pragma once

#include <filesystem>
#include <string>

#include "libvm/environment.h"

namespace thinvol {

// `link` is one of the environment's device_link().
Result<> make_device_link(const Environment& environment, const std::filesystem::path& link,
                          const std::string& node);
// With directories that are empty then, the group's and the one above.
void remove_device_link(const std::filesystem::path& link);
// The links that lead to the node, and what udev was told of it.
void forget_device(const Environment& environment, const std::string& node);
// Until udev has made its links, where it runs; for some seconds at most.
void wait_for_udev();

}  // namespace thinvol
