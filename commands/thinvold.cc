// thinvold: the server of one pool; started by tvchange -ay.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include <fmt/format.h>

#include "libvm/pool_server.h"

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

}  // namespace

int main(int argc, char** argv) {
    using namespace thinvol;
    constexpr const char* ready_option = "--ready-fd=";
    int ready_fd = -1;
    std::string pool;
    for (int i = 1; i < argc; ++i) {
        if (std::strncmp(argv[i], ready_option, std::strlen(ready_option)) == 0)
            ready_fd = std::atoi(argv[i] + std::strlen(ready_option));
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
    const auto outcome =
        run_pool_server(*environment, pool, [&](const Result<>& r) { report_ready(ready_fd, r); });
    if (!outcome) std::cerr << "thinvold: " << outcome.error().text << '\n';
    return outcome ? 0 : 5;
}
