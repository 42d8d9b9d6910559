#include "libvm/nbd_access.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include "libvm/sizes.h"

namespace thinvol {
namespace {

// A name with its %XX replaced. Nothing: it is empty, or one of them is none, or a NUL.
std::optional<std::string> unescaped(std::string_view text) {
    std::string name;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned byte = static_cast<unsigned char>(text[i]);
        if (text[i] == '%') {
            const std::string_view digits = text.substr(i + 1, 2);
            const auto [end, error] =
                std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
            if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2 || byte == 0)
                return std::nullopt;
            i += 2;
        }
        name.push_back(static_cast<char>(byte));
    }
    return name.empty() ? std::nullopt : std::optional(std::move(name));
}

}  // namespace

NbdPeer peer_at(int socket) {
    NbdPeer peer;
    ucred credentials{};
    socklen_t length = sizeof credentials;
    sockaddr_storage address{};
    socklen_t address_length = sizeof address;
    // A TCP socket tells credentials too: nobody's.
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &address_length) != 0 ||
        address.ss_family != AF_UNIX ||
        ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return peer;
    peer.uid = credentials.uid;
    length = 0;
    ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &length);  // says how long it is
    peer.groups.resize(length / sizeof(gid_t));
    if (!peer.groups.empty() &&
        ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &length) != 0)
        peer.groups.clear();
    peer.groups.push_back(credentials.gid);
    return peer;
}

Result<NbdAccess::Rule> NbdAccess::parse_rule(std::string_view text) {
    const auto wrong = [&](std::string_view why) {
        return Error(
            Errc::invalid_argument,
            fmt::format("\"{}\": {}; a rule is WHO=RIGHT, such as uid:1000=rw, gid:100=ro, "
                        "cert:backup=ro, psk:alice=rw or all=none",
                        text, why));
    };
    const std::size_t equals = text.rfind('=');
    if (equals == std::string_view::npos) return wrong("there is no =");
    Rule rule;
    const std::string_view right = text.substr(equals + 1);
    if (right == "rw") rule.right = NbdRight::write;
    else if (right == "ro") rule.right = NbdRight::read;
    else if (right != "none") return wrong("the right is rw, ro or none");
    const std::string_view who = text.substr(0, equals);
    if (who == "all") return rule;
    const std::size_t colon = who.find(':');
    const std::string_view kind = who.substr(0, colon);
    const std::string_view value = colon == std::string_view::npos ? "" : who.substr(colon + 1);
    constexpr std::array<std::string_view, 4> kinds{"uid", "gid", "cert", "psk"};
    const auto found = std::find(kinds.begin(), kinds.end(), kind);
    if (found == kinds.end()) return wrong("who is uid:, gid:, cert:, psk: or all");
    rule.who = static_cast<Who>(found - kinds.begin());
    if (rule.who == Who::uid || rule.who == Who::gid) {
        const auto number = parse_number(value);
        // The last one stands for "none" in the kernel.
        if (!number || *number >= std::numeric_limits<std::uint32_t>::max())
            return wrong("users and groups are numbers, as id(1) shows them");
        rule.id = static_cast<std::uint32_t>(*number);
        return rule;
    }
    auto name = unescaped(value);
    if (!name) return wrong("the name is empty, or a % in it is not followed by two hex digits");
    rule.name = std::move(*name);
    return rule;
}

Result<NbdAccess> NbdAccess::parse(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    NbdAccess access;
    for (std::size_t at = text.find_first_not_of(blanks); at != std::string_view::npos;) {
        const std::size_t end = std::min(text.find_first_of(blanks, at), text.size());
        access.rules_.push_back(TRY(parse_rule(text.substr(at, end - at))));
        at = text.find_first_not_of(blanks, end);
    }
    return access;
}

bool NbdAccess::fits(const Rule& rule, const NbdPeer& peer) {
    switch (rule.who) {
        case Who::uid: return peer.uid == rule.id;
        case Who::gid:
            return std::find(peer.groups.begin(), peer.groups.end(), rule.id) != peer.groups.end();
        case Who::certificate: return peer.certificate == rule.name;
        case Who::key: return peer.key == rule.name;
        case Who::all: return true;
    }
    return false;
}

NbdAccess NbdAccess::nobody() {
    NbdAccess access;
    access.rules_.push_back({Who::all, 0, {}, NbdRight::none});
    return access;
}

NbdRight NbdAccess::right_of(const NbdPeer& peer) const {
    if (rules_.empty()) return NbdRight::write;
    const auto rule =
        std::find_if(rules_.begin(), rules_.end(), [&](const Rule& r) { return fits(r, peer); });
    return rule == rules_.end() ? NbdRight::none : rule->right;
}

}  // namespace thinvol
