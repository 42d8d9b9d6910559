// thinvold: the server of one pool; started by tvchange -ay.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include <fmt/format.h>

#include "engine/base/unique_fd.h"
#include "libvm/pool_server.h"
#include "libvm/succession.h"
#include "libvm/ublk_owner.h"

namespace {

// "ok", or the error's code and text, for whoever started us.
void report_ready(int fd, const thinvol::Result<>& outcome) {
    if (fd < 0) return;
    const std::string text = outcome ? "ok"
                                     : fmt::format("{} {}", static_cast<int>(outcome.error().code),
                                                   outcome.error().text);
    const ssize_t written = ::write(fd, text.data(), text.size());
    static_cast<void>(written);  // nobody may be waiting any more
    ::close(fd);
}

// As sd_notify(3) does, for a unit of Type=notify.
void tell_systemd() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path);
    // A name that begins with @ is an abstract one, and ends with its length.
    if (path[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    const thinvol::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    constexpr std::string_view ready = "READY=1";
    ::sendto(socket.get(), ready.data(), ready.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace

int main(int argc, char** argv) {
    using namespace thinvol;
    constexpr const char* ready_option = "--ready-fd=";
    int ready_fd = -1;
    constexpr const char* succeed_option = "--succeed=";
    ServerStart how;
    std::string pool;
    constexpr std::string_view give_option = "--give-ublk=";
    if (argc == 2 && std::string_view(argv[1]).starts_with(give_option)) {
        const auto given = give_ublk_node(argv[1] + give_option.size());
        if (!given) std::cerr << "thinvold: " << given.error().text << '\n';
        return given ? 0 : 5;
    }
    for (int i = 1; i < argc; ++i) {
        if (std::strncmp(argv[i], ready_option, std::strlen(ready_option)) == 0)
            ready_fd = std::atoi(argv[i] + std::strlen(ready_option));
        else if (std::strncmp(argv[i], succeed_option, std::strlen(succeed_option)) == 0)
            how.succeed = std::atoi(argv[i] + std::strlen(succeed_option));
        else if (can_succeed(argv[i])) return 0;
        else if (std::strcmp(argv[i], "--restore") == 0) how.restore = true;
        else pool = argv[i];
    }
    if (pool.empty()) {
        std::cerr << "  thinvold POOL-UUID: serves a pool. It is started by `tvchange -ay'.\n";
        return 3;
    }
    std::signal(SIGPIPE, SIG_IGN);
    const auto environment = Environment::from_process();
    if (!environment) {
        report_ready(ready_fd, environment.error());
        return 4;
    }
    const auto outcome = run_pool_server(*environment, pool, how, [&](const Result<>& r) {
        report_ready(ready_fd, r);
        if (r) tell_systemd();
    });
    if (!outcome) std::cerr << "thinvold: " << outcome.error().text << '\n';
    return outcome ? 0 : 5;
}
