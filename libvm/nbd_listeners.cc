#include "libvm/nbd_listeners.h"

#include <fmt/format.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libvm/control_protocol.h"
#include "libvm/privileges.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr int backlog = 128;
constexpr std::uint64_t port_max = 65535;
constexpr std::size_t threads_by_default = 4;

// Those this process may run on, not those of the machine.
std::size_t default_threads() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return threads_by_default;
    return std::min(static_cast<std::size_t>(CPU_COUNT(&set)), threads_by_default);
}

NbdLimits limits_of(const Config& config) {
    NbdLimits limits;
    limits.connections = static_cast<std::size_t>(config.number("nbd.connections"));
    const auto threads = static_cast<std::size_t>(config.number("nbd.threads"));
    limits.threads = threads > 0 ? threads : default_threads();
    limits.options = static_cast<std::uint32_t>(config.number("nbd.options"));
    limits.negotiation = std::chrono::seconds(config.number("nbd.negotiation_timeout"));
    limits.payload = static_cast<std::uint32_t>(config.number("nbd.payload_maximum")) << 20;
    limits.memory = static_cast<std::size_t>(config.number("nbd.memory_maximum")) << 20;
    return limits;
}

// The socket is only the owner's until it is given to others here; what lies beside it in its
// directory, others may then pass by, but not list or open.
Result<> open_to_others(const std::filesystem::path& socket, const Config& config) {
    const std::string& mode = config.word("nbd.socket_mode");
    const std::string& group = config.word("nbd.socket_group");
    const auto failed = [&](std::string_view what) {
        return Error(Errc::io_error,
                     fmt::format("socket {}: {}: {}", socket.string(), what, std::strerror(errno)));
    };
    if (!group.empty()) {
        const struct group* found = ::getgrnam(group.c_str());
        if (found == nullptr)
            return Error(Errc::invalid_argument,
                         fmt::format("nbd.socket_group: there is no group {}", group));
        if (::chown(socket.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0)
            return failed(fmt::format("giving it to group {}", group));
    }
    if (::chmod(socket.c_str(), static_cast<mode_t>(std::stoul(mode, nullptr, 8))) != 0)
        return failed("setting its mode");
    if (::chmod(socket.parent_path().c_str(), 0711) != 0) return failed("opening its directory");
    return {};
}

bool is_loopback(const sockaddr* address) {
    if (address->sa_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) != 0;
}

Result<UniqueFd> listen_at(const addrinfo& found, const std::string& text) {
    UniqueFd fd(::socket(found.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    const bool v6 = found.ai_family == AF_INET6;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (v6 && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        ::bind(fd.get(), found.ai_addr, found.ai_addrlen) != 0 || ::listen(fd.get(), backlog) != 0)
        return Error(Errc::io_error, fmt::format("nbd.listen: {}: {}", text, std::strerror(errno)));
    return fd;
}

// "10.0.0.1:10809", "[::1]:10809": numbers, so that nothing depends on a name server.
Result<UniqueFd> listen_on_tcp(const std::string& text, bool in_the_clear_anywhere, bool secure) {
    const std::size_t colon = text.rfind(':');
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const std::string port = colon == std::string::npos ? "" : text.substr(colon + 1);
    const auto number = parse_number(port);
    const bool known = !host.empty() && number && *number > 0 && *number <= port_max &&
                       ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list) == 0;
    if (!known) {
        return Error(Errc::invalid_argument,
                     fmt::format("nbd.listen: \"{}\" is not ADDRESS:PORT, as in \"10.0.0.1:10809\" "
                                 "or \"[::1]:10809\"",
                                 text));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(list, &::freeaddrinfo);
    if (!secure && !in_the_clear_anywhere && !is_loopback(found->ai_addr)) {
        return Error(Errc::invalid_argument,
                     fmt::format("nbd.listen: {} can be reached from other machines: set nbd.tls "
                                 "to require, or allow it with nbd.listen_without_tls=true",
                                 text));
    }
    return listen_at(*found, text);
}

}  // namespace

Result<> set_up_nbd(NbdServer& server, const Config& config) {
    server.set_limits(limits_of(config));
    const std::string& tls = config.word("nbd.tls");
    if (tls == "off") return {};
    TRY(keep_memory_secret());
    TlsCredentials::Files files;
    files.certificates = config.word("nbd.tls_certificates");
    files.keys = config.word("nbd.tls_keys");
    files.verify_clients = config.flag("nbd.tls_verify_clients");
    server.offer_tls(TRY(TlsCredentials::load(files)), tls == "require");
    return {};
}

Result<> listen_for_nbd(NbdServer& server, const Config& config,
                        const std::filesystem::path& socket) {
    const bool secure = config.word("nbd.tls") == "require";
    const bool shared = config.word("nbd.socket_mode") != "0600";
    server.listen(TRY(listen_on(socket)), !shared);
    if (shared) TRY(open_to_others(socket, config));
    for (const std::string& text : config.value("nbd.listen")) {
        server.listen(TRY(listen_on_tcp(text, config.flag("nbd.listen_without_tls"), secure)),
                      false);
    }
    return {};
}

}  // namespace thinvol
