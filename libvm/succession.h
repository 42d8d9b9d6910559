// Succession: what a server hands over to the program that takes its place in the same process:
// its locks, sockets, exports and clients; block devices it finds as after a crash. The process
// stays, so its pid and its locks do; only the program changes, at a moment when the pool is
// committed and no request is in flight.
//
// Units       bytes; nanoseconds of the monotonic clock
// Invariants  (1) descriptors named here, and no others, stay open across exec()
//             (2) a client misses nothing: what was read from it and not begun is in `input`, what
//                 was answered and not sent is in `output`
// Errors      io_error, corrupt (not what the program before would have written)
// Threads     one
// Source      execve(2); systemd's daemon-reexec
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "libvm/nbd_request.h"

namespace thinvol {

struct HandedClient {
    int socket = -1;
    std::int64_t lv_id = 0;
    bool may_write = false;
    bool attached = false;  // it is the kernel's (NbdServer::attach)
    NbdReplies replies = NbdReplies::simple;
    NbdContexts contexts;
    std::vector<std::uint8_t> input;
    std::vector<std::uint8_t> output;
};

struct HandedListener {
    int socket = -1;
    bool own = true;
};

struct Succession {
    std::string request_id;  // that asked for it
    std::int64_t began = 0;  // when clients had to wait
    std::uint64_t last_event = 0;
    int lock = -1;
    int control = -1;
    bool restore = false;
    std::vector<HandedListener> listeners;
    std::vector<std::int64_t> exports;
    std::vector<HandedClient> clients;
};

// The file this program was started from; what lies there later may be another.
std::string own_program();
// The program is asked whether it can succeed this one.
Result<> check_successor(const std::string& program);
// What it is asked, and answers by its status, 0 or not: "--can-succeed=" and a format.
bool can_succeed(std::string_view argument);
// Returns only if it fails; then all is as before.
Error succeed(const Succession& succession, const std::string& program,
              const std::string& pool_uuid);
// What succeed() left on that descriptor, which is closed.
Result<Succession> take_succession(int fd);

}  // namespace thinvol
