#include "libvm/file_lock.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>
#include <vector>

namespace thinvol {

namespace {

// `how` is F_OFD_SETLK, or F_OFD_SETLKW to wait.
Result<> lock_byte(int fd, LockKind kind, std::uint64_t at, int how) {
    struct flock lock{};
    lock.l_type = kind == LockKind::shared ? F_RDLCK : F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(at);
    lock.l_len = 1;
    while (::fcntl(fd, how, &lock) != 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EACCES)
            return Error(Errc::busy, "it is locked by another process");
        return Error(Errc::io_error, fmt::format("lock: {}", std::strerror(errno)));
    }
    return {};
}

Result<UniqueFd> open_lock_file(const std::filesystem::path& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd)
        return Error(Errc::io_error,
                     fmt::format("lock file {}: {}", path.string(), std::strerror(errno)));
    return fd;
}

// Processes, beside this one, that have the file open and may be looked at.
std::vector<pid_t> openers(const std::filesystem::path& path) {
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

}  // namespace

Result<> lock_byte(int fd, LockKind kind, std::uint64_t at) {
    return lock_byte(fd, kind, at, F_OFD_SETLK);
}

Result<FileLock> FileLock::try_exclusive(const std::filesystem::path& path) {
    auto fd = TRY(open_lock_file(path));
    TRY(lock_first_byte(fd.get(), LockKind::exclusive));
    return FileLock(std::move(fd));
}

// The kernel lets those who wait in one after the other. Its wait has no limit, so that a thread
// does it, which is left to itself when the time is over.
Result<FileLock> FileLock::exclusive(const std::filesystem::path& path,
                                     std::chrono::milliseconds limit) {
    auto fd = TRY(open_lock_file(path));
    const auto locked = lock_first_byte(fd.get(), LockKind::exclusive);
    if (locked) return FileLock(std::move(fd));
    if (locked.error().code != Errc::busy) return locked.error();
    std::packaged_task wait([fd = std::move(fd)]() mutable -> Result<FileLock> {
        TRY(lock_byte(fd.get(), LockKind::exclusive, 0, F_OFD_SETLKW));
        return FileLock(std::move(fd));
    });
    auto outcome = wait.get_future();
    std::thread(std::move(wait)).detach();
    if (outcome.wait_for(limit) == std::future_status::ready) return outcome.get();
    return Error(Errc::busy, fmt::format("it was locked by others for {}{}", limit, holders(path)));
}

std::string FileLock::holders(const std::filesystem::path& path) {
    std::string text;
    for (const pid_t pid : openers(path))
        text += fmt::format("{} {}", text.empty() ? ": process" : ",", pid);
    return text.empty() ? text : text + " (kill -CONT one that is stopped; kill -9 is safe)";
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
