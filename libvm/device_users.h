// device_users: who uses a block device of this host.
//
// Units       none
// Invariants  none
// Errors      none: what cannot be looked at is not told
// Threads     any but the one that serves the device: looking may read from it
// Source      proc(5), sysfs(5)
#pragma once

#include <string>
#include <vector>

namespace thinvol {

// In words, of the device and its partitions: "mounted on /srv", "open in process 12 (fio)".
// Empty: nobody.
std::vector<std::string> device_users(const std::string& node);

// One for each file system on it or its partitions that is mounted here.
std::vector<std::string> file_systems_on(const std::string& node);

// Of the lines of mountinfo, where devices ("MAJOR:MINOR") or nodes are mounted.
std::vector<std::string> mount_points_in(const std::string& mountinfo,
                                         const std::vector<std::string>& numbers,
                                         const std::vector<std::string>& nodes);

}  // namespace thinvol
