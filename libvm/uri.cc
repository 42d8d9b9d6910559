#include "libvm/uri.h"

#include <fmt/format.h>

#include <cctype>

namespace thinvol {
namespace {

std::string encoded(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                           std::string_view("-._~/").find(c) != std::string_view::npos;
        if (plain) out += c;
        else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

}  // namespace

std::string nbd_uri(std::string_view export_name, const std::filesystem::path& socket,
                    bool tls_required) {
    return fmt::format("{}+unix:///{}?socket={}", tls_required ? "nbds" : "nbd",
                       encoded(export_name), encoded(socket.string()));
}

}  // namespace thinvol
