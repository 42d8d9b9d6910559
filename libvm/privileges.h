// privileges: what a server may do besides serving, and gives up before it takes clients.
//
// It keeps, of the capabilities it was started with,
//   CAP_DAC_OVERRIDE   root's pools may stand on files of others, opened also later (tvpvmove)
//   CAP_IPC_LOCK       a ring for each thread, before Linux 5.12
//   CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_SYS_PTRACE   where the kernel has a driver for block
//                      devices: to make them, to say that a thread serves one (PR_SET_IO_FLUSHER),
//                      and to find in /proc/PID/fd who has one open
//
// Units       none
// Invariants  (1) what is given up never comes back, not by exec() either: no_new_privs
//             (2) of the calling thread and those that it starts later, and of their programs
// Errors      io_error: the kernel refuses, or shows something else afterwards
// Threads     the first, while there is no other
// Source      capabilities(7), PR_SET_NO_NEW_PRIVS(2const), PR_SET_DUMPABLE(2const)
#pragma once

#include <string>

#include "engine/base/result.h"

namespace thinvol {

Result<> give_up_privileges();
// Its memory has keys: neither core dumps nor debuggers of the same user's get at it.
Result<> keep_memory_secret();
// As the kernel shows them: "uid=0 capabilities=ipc_lock no_new_privs=yes core_dumps=no".
std::string privileges_in_words();
// Whether root still has the right that block devices need; of others the driver says it.
Result<> check_right_to_devices();

}  // namespace thinvol
