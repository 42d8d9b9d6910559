#include "libvm/frozen_mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace thinvol {
namespace {

void thaw(int mount) {
    while (::ioctl(mount, FITHAW, 0) != 0 && errno == EINTR) {}
}

// In the child: only calls that are safe there.
[[noreturn]] void guard(int orders, const std::vector<UniqueFd>& mounts) {
    ::setsid();  // a terminal's interrupt is not for it
    std::array<bool, 256> ours{};
    std::uint8_t which = 0;
    for (ssize_t n; (n = ::read(orders, &which, 1)) != 0;) {
        if (n == 1) ours[which] = !ours[which];
        else if (errno != EINTR) break;
    }
    for (std::size_t i = 0; i < mounts.size(); ++i) {
        if (ours[i]) thaw(mounts[i].get());
    }
    ::_exit(0);
}

}  // namespace

FrozenMounts::FrozenMounts(FrozenMounts&& other) noexcept
    : mounts_(std::move(other.mounts_)),
      frozen_(std::move(other.frozen_)),
      guardian_(std::move(other.guardian_)),
      guardian_pid_(std::exchange(other.guardian_pid_, -1)) {}

Result<> FrozenMounts::start_guardian() {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
        return Error(Errc::io_error, fmt::format("pipe: {}", std::strerror(errno)));
    const UniqueFd reading(pipe[0]);
    guardian_ = UniqueFd(pipe[1]);
    guardian_pid_ = ::fork();
    if (guardian_pid_ < 0)
        return Error(Errc::io_error, fmt::format("fork: {}", std::strerror(errno)));
    if (guardian_pid_ == 0) {
        ::close(pipe[1]);
        guard(pipe[0], mounts_);
    }
    return {};
}

// That this one is its from now on, or no more.
Result<> FrozenMounts::tell_guardian(std::size_t mount) {
    const auto which = static_cast<std::uint8_t>(mount);
    if (::write(guardian_.get(), &which, 1) == 1) return {};
    return Error(Errc::io_error, "the process that ends a freeze is gone");
}

Result<FrozenMounts> FrozenMounts::freeze(const std::vector<std::string>& mount_points) {
    constexpr std::size_t most = 256;
    FrozenMounts frozen;
    if (mount_points.empty()) return frozen;
    if (mount_points.size() > most)
        return Error(Errc::unsupported, fmt::format("more than {} file systems at once", most));
    for (const std::string& point : mount_points) {
        UniqueFd fd(::open(point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!fd)
            return Error(Errc::io_error,
                         fmt::format("freezing {}: {}", point, std::strerror(errno)));
        frozen.mounts_.push_back(std::move(fd));
    }
    TRY(frozen.start_guardian());
    for (std::size_t i = 0; i < mount_points.size(); ++i) {
        // Told first: thawing one that is not frozen does nothing.
        TRY(frozen.tell_guardian(i));
        int outcome = 0;
        while ((outcome = ::ioctl(frozen.mounts_[i].get(), FIFREEZE, 0)) != 0 && errno == EINTR) {}
        const int reason = errno;
        if (outcome == 0) {
            frozen.frozen_.push_back(i);
            continue;
        }
        TRY(frozen.tell_guardian(i));
        if (reason != EOPNOTSUPP && reason != EBUSY)
            return Error(Errc::io_error,
                         fmt::format("freezing {}: {}", mount_points[i], std::strerror(reason)));
    }
    return frozen;
}

FrozenMounts::~FrozenMounts() {
    if (guardian_pid_ < 0) return;
    for (const std::size_t i : frozen_) {
        thaw(mounts_[i].get());
        ignore(tell_guardian(i), "it thaws once more then");
    }
    guardian_.reset();
    while (::waitpid(guardian_pid_, nullptr, 0) < 0 && errno == EINTR) {}
}

}  // namespace thinvol
