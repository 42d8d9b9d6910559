// uri: how clients are told to reach an export.
//
// Units       none
// Invariants  what is not unreserved is percent-encoded
// Errors      none
// Threads     any; pure
// Source      NetworkBlockDevice/nbd doc/uri.md
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace thinvol {

// "nbd+unix:///root?socket=/run/thinvol/....nbd"; nbds where nothing goes without TLS.
std::string nbd_uri(std::string_view export_name, const std::filesystem::path& socket,
                    bool tls_required = false);

}  // namespace thinvol
