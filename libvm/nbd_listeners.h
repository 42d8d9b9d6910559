// nbd_listeners: where a pool's NBD clients come from: its Unix socket, and TCP addresses; and what
// is asked of them, by the settings.
//
// Units       none
// Invariants  (1) without TLS a TCP address is served only where it is this machine's own, or where
//                 that was allowed in so many words
//             (2) TLS that is set but cannot be had is an error: nothing is served in the clear
//                 instead
// Errors      invalid_argument, unsupported, io_error: naming setting, address or file
// Threads     any, before the server serves
// Source      systemd.socket(5) for the words
#pragma once

#include "libvm/config.h"
#include "libvm/nbd_server.h"

namespace thinvol {

// Limits and TLS.
Result<> set_up_nbd(NbdServer& server, const Config& config);
// Takes clients from now on.
Result<> listen_for_nbd(NbdServer& server, const Config& config,
                        const std::filesystem::path& socket);

}  // namespace thinvol
