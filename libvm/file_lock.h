// FileLock: open-file-description locks, which the kernel drops when their holder ends, however it
// ends.
//
// Units       none
// Invariants  a lock belongs to the descriptor it was taken on, not to the process
// Errors      busy when somebody else holds it; io_error
// Threads     any
// Source      fcntl(2), F_OFD_SETLK
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace thinvol {

enum class LockKind { shared, exclusive };

// One byte of an open file, which need not be there.
Result<> lock_byte(int fd, LockKind kind, std::uint64_t at);
inline Result<> lock_first_byte(int fd, LockKind kind) { return lock_byte(fd, kind, 0); }

// A file that exists to be locked.
class FileLock {
public:
    // Fails with busy at once.
    static Result<FileLock> try_exclusive(const std::filesystem::path& path);
    // Waits up to `limit` for others to let go, in the order in which they came.
    static Result<FileLock> exclusive(const std::filesystem::path& path,
                                      std::chrono::milliseconds limit);

    // One that this process holds since before exec().
    static FileLock adopt(UniqueFd fd) { return FileLock(std::move(fd)); }
    int fd() const { return fd_.get(); }

    // Who, beside this process, has the file open, in words that follow others; empty if unknown.
    static std::string holders(const std::filesystem::path& path);

    // A note in the file for whoever locks it next, of 4000 bytes at most: neither durable nor to
    // be trusted.
    std::string note() const;
    void set_note(std::string_view text) const;

private:
    explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

}  // namespace thinvol
