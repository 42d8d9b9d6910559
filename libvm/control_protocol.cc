#include "libvm/control_protocol.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "engine/base/le.h"

namespace thinvol {
namespace {

constexpr std::array<char, 7> hello_magic{'T', 'V', 'C', 'T', 'L', 0, 0};
constexpr char protocol_version = 2;

Error system_error(const char* what) {
    return {Errc::io_error, fmt::format("{}: {}", what, std::strerror(errno))};
}

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path) {
        return Error(
            Errc::invalid_argument,
            fmt::format(
                "socket path {} is longer than {} characters: set THINVOL_RUN_DIR to a shorter one",
                text, sizeof address.sun_path - 1));
    }
    std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    return address;
}

constexpr auto longest_work = std::chrono::seconds(300);

// An end of file counts.
bool readable_within(int fd, std::chrono::seconds limit) {
    pollfd waiting{fd, POLLIN, 0};
    const auto ms = std::chrono::milliseconds(limit).count();
    int ready = 0;
    do ready = ::poll(&waiting, 1, static_cast<int>(ms));
    while (ready < 0 && errno == EINTR);
    return ready != 0;
}

pid_t peer_of(int fd) {
    ucred peer{};
    socklen_t length = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

std::string end_it(pid_t pid) {
    return fmt::format(
        "kill -9 {} ends it; what was flushed is safe, and the next command goes on "
        "from there",
        pid);
}

bool is_stopped(pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("State:")) return line.find_first_of("Tt") < line.find('(');
    }
    return false;
}

Error stuck(int fd, std::chrono::seconds patience) {
    const pid_t pid = peer_of(fd);
    return {Errc::io_error,
            fmt::format("its server, process {}, has not answered for {} seconds: {}. {}", pid,
                        patience.count(),
                        is_stopped(pid)
                            ? fmt::format("it is stopped, and goes on with kill -CONT {}", pid)
                            : std::string("it hangs, as it does when its device hangs"),
                        end_it(pid))};
}

}  // namespace

Result<> send_bytes(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("control connection");
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

Result<> receive_bytes(int fd, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::recv(fd, bytes.data(), bytes.size(), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("control connection");
        if (n == 0) return Error(Errc::io_error, "control connection: the other end closed it");
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

Result<> send_hello(int fd) {
    std::array<char, 8> hello{};
    std::copy(hello_magic.begin(), hello_magic.end(), hello.begin());
    hello[7] = protocol_version;
    return send_bytes(fd, std::as_bytes(std::span(hello)));
}

Result<> receive_hello(int fd) {
    std::array<char, 8> hello{};
    TRY(receive_bytes(fd, std::as_writable_bytes(std::span(hello))));
    if (!std::equal(hello_magic.begin(), hello_magic.end(), hello.begin()))
        return Error(Errc::unsupported, "control connection: it is not a pool's server");
    if (hello[7] != protocol_version) {
        return Error(Errc::unsupported,
                     fmt::format("the pool's server speaks version {} of the control protocol, "
                                 "this program version {}: restart the server "
                                 "by deactivating the pool's volumes",
                                 int{hello[7]}, int{protocol_version}));
    }
    return {};
}

Result<> send_frame(int fd, std::string_view text) {
    if (text.size() > longest_frame)
        return Error(Errc::invalid_argument,
                     fmt::format("control connection: a frame of {} bytes", text.size()));
    std::string frame(4, '\0');
    store_le<std::uint32_t>(reinterpret_cast<std::byte*>(frame.data()),
                            static_cast<std::uint32_t>(text.size()));
    frame += text;
    return send_bytes(fd, std::as_bytes(std::span(frame)));
}

Result<std::optional<std::string>> receive_frame(int fd) {
    std::array<std::byte, 4> head{};
    ssize_t n = 0;
    do n = ::recv(fd, head.data(), head.size(), 0);
    while (n < 0 && errno == EINTR);
    if (n == 0) return std::optional<std::string>();
    if (n < 0) return system_error("control connection");
    TRY(receive_bytes(fd, std::span(head).subspan(static_cast<std::size_t>(n))));
    const auto length = load_le<std::uint32_t>(head.data());
    if (length > longest_frame)
        return Error(Errc::invalid_argument,
                     fmt::format("control connection: a frame of {} bytes", length));
    std::string text(length, '\0');
    TRY(receive_bytes(fd, std::as_writable_bytes(std::span(text))));
    return std::optional(std::move(text));
}

Result<UniqueFd> listen_on(const std::filesystem::path& path) {
    const sockaddr_un address = TRY(address_of(path));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return system_error("socket");
    // Whoever listened here held the pool's lock, which is ours now: it is dead.
    ::unlink(path.c_str());
    const mode_t old_mask = ::umask(0177);
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::umask(old_mask);
    if (bound != 0)
        return Error(Errc::io_error,
                     fmt::format("socket {}: {}", path.string(), std::strerror(errno)));
    if (::listen(fd.get(), 128) != 0) return system_error("listen");
    return fd;
}

bool peer_may_connect(int fd) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
    return peer.uid == ::geteuid() || peer.uid == 0;
}

Result<ControlClient> ControlClient::connect(const std::filesystem::path& path,
                                             std::chrono::seconds patience) {
    const sockaddr_un address = TRY(address_of(path));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return system_error("socket");
    const timeval limit{patience.count(), 0};  // of connect() too, where too many wait already
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) return Error(Errc::not_found, "no server");
        if (errno == EAGAIN)
            return Error(Errc::io_error,
                         fmt::format("its server takes no connections for {} seconds; whose it is: "
                                     "fuser {}",
                                     patience.count(), path.string()));
        return system_error("control connection");
    }
    if (!readable_within(fd.get(), patience)) return stuck(fd.get(), patience);
    if (auto hello = receive_hello(fd.get()); !hello) {
        // A server on its way out takes the connection and closes it.
        if (hello.error().code == Errc::io_error) return Error(Errc::not_found, "no server");
        return std::move(hello).error();
    }
    return ControlClient(std::move(fd), path, patience);
}

Result<> ControlClient::await_answer() {
    for (auto waited = std::chrono::seconds(0); !readable_within(fd_.get(), patience_);) {
        // It may have a lot to do. Its state it tells at once, whatever else it is at.
        auto other = connect(path_, patience_);
        if (!other && other.error().code == Errc::io_error) return stuck(fd_.get(), patience_);
        if (other) {
            const bool asked = other->send({"", StatusRequest{}}).has_value();
            if (!asked || !readable_within(other->fd_.get(), patience_))
                return stuck(fd_.get(), patience_);
        }
        waited += patience_;
        if (waited < longest_work) continue;
        return Error(Errc::io_error,
                     fmt::format("its server, process {}, is at this for {} seconds, and may yet "
                                 "do it. If a device hangs: {}",
                                 peer_of(fd_.get()), waited.count(), end_it(peer_of(fd_.get()))));
    }
    return {};
}

void ControlClient::close() {
    ::shutdown(fd_.get(), SHUT_WR);
    std::array<std::byte, 512> rest;
    while (readable_within(fd_.get(), patience_) &&
           ::recv(fd_.get(), rest.data(), rest.size(), 0) > 0) {}
}

Result<PoolAnswer> ControlClient::ask(const PoolRequest& request) {
    TRY(send(request));
    TRY(await_answer());
    const auto text = TRY(receive_answer());
    if (!text)
        return Error(Errc::io_error, "control connection: the server closed it without an answer");
    return answer_from_json(*text);
}

}  // namespace thinvol
