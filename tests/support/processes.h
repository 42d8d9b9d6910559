// processes: what hangs, as /proc shows it, and the end of it.
//
// Units       none
// Invariants  none
// Errors      none: a process that is gone meanwhile is left out
// Threads     any
// Source      proc(5)
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace thinvol {

// Those that were started with this somewhere in their environment.
std::vector<pid_t> processes_with(std::string_view in_environment);

// A line a thread: id, name, state, system call, and where in the kernel it sleeps.
std::string describe_process(pid_t pid);

// Kills them; what they were at.
std::string end_processes(const std::vector<pid_t>& pids);

}  // namespace thinvol
