#include "libvm/server_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "engine/base/unique_fd.h"
#include "libvm/config.h"

namespace thinvol {
namespace {

// Beside this program, where it was built or installed.
std::string server_program() {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    return (error ? std::filesystem::path("/usr/bin") : self.parent_path()) / "thinvold";
}

// In the child, between fork and exec: only calls that are safe there.
[[noreturn]] void become_server(const char* program, const char* pool, const char* log,
                                int ready_fd) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR);
    const int out = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    ::dup2(null, 0);
    ::dup2(out < 0 ? null : out, 1);
    ::dup2(out < 0 ? null : out, 2);
    ::dup2(ready_fd, 3);  // clears close-on-exec
    ::close_range(4, ~0U, 0);
    ::chdir("/") == 0 ? void() : void();
    ::execl(program, program, "--ready-fd=3", pool, static_cast<char*>(nullptr));
    ::_exit(127);
}

// A unit of Type=notify: systemctl returns when the server takes requests.
Result<> start_unit(const std::string& pool_uuid) {
    const std::string unit = "thinvol-pool@" + pool_uuid + ".service";
    const char* manager = ::geteuid() == 0 ? "--system" : "--user";
    const pid_t child = ::fork();
    if (child < 0) return Error(Errc::io_error, fmt::format("fork: {}", std::strerror(errno)));
    if (child == 0) {
        ::execlp("systemctl", "systemctl", manager, "start", unit.c_str(),
                 static_cast<char*>(nullptr));
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (status == 0) return {};
    return Error(Errc::io_error,
                 fmt::format("systemctl {} start {} failed (status {}): see journalctl {} -u {}, "
                             "or set activation.systemd to false",
                             manager, unit, status, manager, unit));
}

}  // namespace

Result<> start_server_process(const Environment& environment, const std::string& pool_uuid) {
    TRY(make_private_directory(environment.run_dir));
    if (TRY(Config::load(environment)).flag("activation.systemd")) return start_unit(pool_uuid);
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
        return Error(Errc::io_error, fmt::format("pipe: {}", std::strerror(errno)));
    UniqueFd reading(pipe[0]);
    UniqueFd writing(pipe[1]);
    const std::string program = server_program();
    const std::string log = environment.run_dir / (pool_uuid + ".log");
    const pid_t child = ::fork();
    if (child < 0) return Error(Errc::io_error, fmt::format("fork: {}", std::strerror(errno)));
    if (child == 0) become_server(program.c_str(), pool_uuid.c_str(), log.c_str(), writing.get());
    writing.reset();
    // "ok", or an error's code and text.
    std::string said;
    std::array<char, 1024> buffer;
    for (ssize_t n; (n = ::read(reading.get(), buffer.data(), buffer.size())) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        said.append(buffer.data(), static_cast<std::size_t>(n));
    }
    if (said == "ok") return {};
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (said.empty()) {
        return Error(Errc::io_error,
                     fmt::format("the pool's server {} ended without a word (status {}); see {}",
                                 program, status, log));
    }
    int code = 0;
    const auto [end, error] = std::from_chars(said.data(), said.data() + said.size(), code);
    const bool known = error == std::errc() && code >= static_cast<int>(Errc::io_error) &&
                       code <= static_cast<int>(Errc::read_only);
    return Error(known ? static_cast<Errc>(code) : Errc::io_error,
                 said.substr(std::min<std::size_t>(
                     said.size(), static_cast<std::size_t>(end - said.data()) + 1)));
}

}  // namespace thinvol
