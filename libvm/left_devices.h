// left_devices: block devices, with their links and sockets, that a pool's server left behind: it
// was killed, or goes on as another program. Whoever uses one waits until another server goes on
// with it.
//
// Units       none
// Invariants  one that can be gone on with is not removed for want of a server, unless somebody
//             asks for that
// Errors      of removing one: the kernel's
// Threads     one at a time for a pool, who holds its lock
// Source      none
#pragma once

#include "libvm/kernel_device.h"

namespace thinvol {

// Found by what the drivers know of them: there is no list to go wrong.
std::vector<LeftDevice> find_left_devices(std::string_view pool_uuid);
// With its links. Whoever uses it gets errors.
Result<> remove_left_device(const Environment& environment, const LeftDevice& left);
// Of a server that was killed, if that is so: removes its sockets and what nobody can go on with.
// False: a server is to be started, for the others; then nothing is removed.
bool clear_left_overs(const Environment& environment, const std::string& pool_uuid);
// All of them, with the sockets, where no server will go on with them; which. busy: one serves.
Result<std::vector<std::string>> give_up_left_devices(const Environment& environment,
                                                      const std::string& pool_uuid);

}  // namespace thinvol
