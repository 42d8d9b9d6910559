// Ring: one thread's io_uring; operations prepared on it go out together at the next submit().
//
// Units       none
// Invariants  (1) complete() of an operation runs inside reap(), once
//             (2) an operation stays where it is until then
// Errors      unsupported where the kernel, or a sandbox, refuses io_uring: callers do without
// Threads     one
// Source      liburing; which operations are worth sending through a ring was measured: see
//             FileQueue
#pragma once

#include <memory>

#include "engine/base/result.h"

struct io_uring;
struct io_uring_sqe;

namespace thinvol {

struct RingOperation {
    void (*complete)(RingOperation&, int result) = nullptr;
};

class Ring {
public:
    static Result<std::unique_ptr<Ring>> open(unsigned entries);
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    // A place for one more operation; submits what is prepared when there is none.
    io_uring_sqe* prepare(RingOperation& operation);
    void submit();
    // Runs complete() of what ended; with `wait` sleeps until something has.
    void reap(bool wait);
    std::size_t in_flight() const { return in_flight_; }
    // Readable when reap() has something to do, until acknowledge().
    int event_fd() const { return event_fd_; }
    void acknowledge();

private:
    Ring() = default;
    std::unique_ptr<io_uring> ring_;
    int event_fd_ = -1;
    std::size_t prepared_ = 0;
    std::size_t in_flight_ = 0;
};

}  // namespace thinvol
