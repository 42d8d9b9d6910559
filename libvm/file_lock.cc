#include "libvm/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace thinvol {

Result<> lock_byte(int fd, LockKind kind, std::uint64_t at) {
    struct flock lock{};
    lock.l_type = kind == LockKind::shared ? F_RDLCK : F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(at);
    lock.l_len = 1;
    while (::fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EACCES)
            return Error(Errc::busy, "it is locked by another process");
        return Error(Errc::io_error, fmt::format("lock: {}", std::strerror(errno)));
    }
    return {};
}

Result<FileLock> FileLock::try_exclusive(const std::filesystem::path& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd)
        return Error(Errc::io_error,
                     fmt::format("lock file {}: {}", path.string(), std::strerror(errno)));
    TRY(lock_first_byte(fd.get(), LockKind::exclusive));
    return FileLock(std::move(fd));
}

Result<FileLock> FileLock::exclusive(const std::filesystem::path& path,
                                     std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;;) {
        auto lock = try_exclusive(path);
        if (lock || lock.error().code != Errc::busy || std::chrono::steady_clock::now() > end)
            return lock;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::vector<pid_t> FileLock::openers(const std::filesystem::path& path) {
    namespace fs = std::filesystem;
    std::vector<pid_t> found;
    std::error_code none;
    for (fs::directory_iterator process("/proc", none), last; !none && process != last;
         process.increment(none)) {
        const auto pid =
            static_cast<pid_t>(std::strtol(process->path().filename().c_str(), nullptr, 10));
        if (pid <= 0 || pid == ::getpid()) continue;
        std::error_code hidden;
        for (fs::directory_iterator fd(process->path() / "fd", hidden); !hidden && fd != last;
             fd.increment(hidden)) {
            std::error_code gone;
            if (fs::read_symlink(*fd, gone) != path || gone) continue;
            found.push_back(pid);
            break;
        }
    }
    return found;
}

std::string FileLock::note() const {
    std::string text(4000, '\0');
    const ssize_t n = ::pread(fd_.get(), text.data(), text.size(), 0);
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return text;
}

void FileLock::set_note(std::string_view text) const {
    // What does not get there costs the next holder some reads.
    const bool written =
        ::ftruncate(fd_.get(), 0) == 0 && ::pwrite(fd_.get(), text.data(), text.size(), 0) >= 0;
    static_cast<void>(written);
}

}  // namespace thinvol
