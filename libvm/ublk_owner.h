// ublk_owner: udev's part of the ublk devices of users: the node of one becomes his who made it.
//
// Units       none
// Invariants  nobody gets the node of another's device, also where numbers are used again meanwhile
// Errors      invalid_argument: no such name; io_error, unsupported: the kernel's
// Threads     any; a program of its own, as root (systemd/60-thinvol-ublk.rules)
// Source      Linux Documentation/block/ublk.rst
#pragma once

#include <string>

#include "engine/base/result.h"

namespace thinvol {

// `name` is "ublkb0" or "ublkc0"; what root made is left alone.
Result<> give_ublk_node(const std::string& name);

}  // namespace thinvol
