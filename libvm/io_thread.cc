#include "libvm/io_thread.h"

#include <pthread.h>
#include <sys/epoll.h>

namespace thinvol {

// The ring is made by the thread that will use it: the kernel wants one issuer.
Result<std::unique_ptr<IoThread>> IoThread::start(Pool& pool, PoolDevices& devices) {
    std::unique_ptr<IoThread> self(new IoThread());
    std::promise<void> ready;
    auto is_ready = ready.get_future();
    self->thread_ = std::thread([raw = self.get(), &ready] { raw->body(ready); });
    is_ready.wait();
    BlockQueue* data = TRY(devices.add_lane(pool.lanes(), self->ring_.get()));
    self->lane_ = std::make_unique<Lane>(pool.lanes(), *data, pool.data_block_size(),
                                         [raw = self.get()] { raw->reactor_.wake(); });
    return self;
}

void IoThread::body(std::promise<void>& ready) {
    ::pthread_setname_np(::pthread_self(), "clients");  // as top -H shows it
    auto going = go_.get_future();
    if (auto ring = Ring::open(256)) ring_ = std::move(*ring);
    ready.set_value();
    going.wait();
    reactor_.run();
}

void IoThread::run(std::function<bool()> work) {
    if (ring_)
        reactor_.watch(ring_->event_fd(), EPOLLIN, [this](std::uint32_t) { ring_->acknowledge(); });
    reactor_.set_work([this, work = std::move(work)] {
        const bool progress = lane_->run_once();
        return work() || progress;
    });
    gone_ = true;
    go_.set_value();
    reactor_.await_running();
}

void IoThread::stop() {
    if (!thread_.joinable()) return;
    reactor_.stop();
    if (!gone_) go_.set_value();
    thread_.join();
}

}  // namespace thinvol
