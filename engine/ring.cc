#include "engine/ring.h"

#include <fmt/format.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/assert.h"

namespace thinvol {

Result<std::unique_ptr<Ring>> Ring::open(unsigned entries) {
    std::unique_ptr<Ring> ring(new Ring());
    auto uring = std::make_unique<io_uring>();
    // Completions run when this thread enters the kernel anyway, not by interrupting it; older
    // kernels do without.
    int error = io_uring_queue_init(entries, uring.get(),
                                    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER);
    if (error == -EINVAL) error = io_uring_queue_init(entries, uring.get(), 0);
    if (error < 0)
        return Error(Errc::unsupported, fmt::format("io_uring: {}", std::strerror(-error)));
    ring->ring_ = std::move(uring);
    ring->event_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->event_fd_ < 0 || io_uring_register_eventfd(ring->ring_.get(), ring->event_fd_) < 0) {
        return Error(Errc::unsupported, fmt::format("io_uring eventfd: {}", std::strerror(errno)));
    }
    return ring;
}

Ring::~Ring() {
    if (ring_) io_uring_queue_exit(ring_.get());
    if (event_fd_ >= 0) ::close(event_fd_);
}

io_uring_sqe* Ring::prepare(RingOperation& operation) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
    if (sqe == nullptr) {
        submit();
        sqe = io_uring_get_sqe(ring_.get());
    }
    ASSERT(sqe != nullptr);
    io_uring_sqe_set_data(sqe, &operation);
    ++prepared_;
    ++in_flight_;
    return sqe;
}

void Ring::submit() {
    while (prepared_ > 0) {
        const int n = io_uring_submit(ring_.get());
        if (n >= 0) prepared_ -= static_cast<std::size_t>(n);
        else if (n == -EBUSY || n == -EAGAIN) reap(false);
        else ASSERT(n == -EINTR);
    }
}

void Ring::acknowledge() {
    std::uint64_t events = 0;
    if (::read(event_fd_, &events, sizeof events) < 0) ASSERT(errno == EAGAIN || errno == EINTR);
}

void Ring::reap(bool wait) {
    if (wait) submit();
    io_uring_cqe* cqe = nullptr;
    if (wait && in_flight_ > 0) {
        while (io_uring_wait_cqe(ring_.get(), &cqe) == -EINTR) {}
    }
    while (io_uring_peek_cqe(ring_.get(), &cqe) == 0) {
        auto& operation = *static_cast<RingOperation*>(io_uring_cqe_get_data(cqe));
        const int result = cqe->res;
        io_uring_cqe_seen(ring_.get(), cqe);
        --in_flight_;
        operation.complete(operation, result);
    }
}

}  // namespace thinvol
