// UniqueFd: owns one file descriptor and closes it.
//
// Units       none
// Invariants  holds a descriptor opened with O_CLOEXEC, or -1
// Errors      closing is best effort: whoever needs durability calls fdatasync first
// Threads     externally synchronised
// Source      Seastar core/posix.hh (the idea)
#pragma once

#include <unistd.h>

#include <utility>

namespace thinvol {

class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~UniqueFd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() { return std::exchange(fd_, -1); }
    void reset() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }

private:
    int fd_ = -1;
};

}  // namespace thinvol
