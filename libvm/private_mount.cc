#include "libvm/private_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/unique_fd.h"

namespace thinvol {
namespace {

Error failed(std::string_view what) {
    return {Errc::io_error, fmt::format("{}: {}", what, std::strerror(errno))};
}

// In the child.
Result<> carry_out(const PrivateMount& what, const Program& program) {
    // What others unmount goes here too: nothing of theirs is held.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
        return failed("a mount namespace");
    if (::mount(what.node.c_str(), what.place.c_str(), what.type.c_str(), MS_NODEV | MS_NOSUID,
                what.options.c_str()) != 0)
        return failed(fmt::format("mounting {} for the moment", what.node));
    auto outcome = program.words.empty() ? Result<>() : run_to_success(program);
    if (::umount(what.place.c_str()) != 0 && outcome)
        outcome = failed(fmt::format("unmounting {}", what.node));
    return outcome;
}

}  // namespace

Result<> in_private_mount(const PrivateMount& what, const Program& program) {
    std::error_code error;
    std::filesystem::create_directories(what.place, error);
    if (error)
        return Error(Errc::io_error, fmt::format("{}: {}", what.place.string(), error.message()));
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return failed("pipe");
    const UniqueFd reading(pipe[0]);
    UniqueFd writing(pipe[1]);
    const pid_t child = ::fork();
    if (child < 0) return failed("fork");
    if (child == 0) {
        ::setsid();  // a terminal's interrupt is not for it
        const auto outcome = carry_out(what, program);
        const std::string text = outcome ? "" : outcome.error().text;
        _exit(::write(writing.get(), text.data(), text.size()) < 0 || !outcome ? 1 : 0);
    }
    writing.reset();
    std::array<char, 4096> text{};  // it fits into the pipe
    ssize_t n = 0;
    while ((n = ::read(reading.get(), text.data(), text.size())) < 0 && errno == EINTR) {}
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    std::filesystem::remove(what.place, error);
    if (status == 0) return {};
    return Error(Errc::io_error,
                 n > 0 ? std::string(text.data(), static_cast<std::size_t>(n))
                       : fmt::format("the process that mounts {} was killed", what.node));
}

}  // namespace thinvol
