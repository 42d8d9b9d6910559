#include "libvm/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "engine/base/assert.h"

namespace thinvol {

Reactor::Reactor()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wakeup_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    ASSERT(epoll_);
    ASSERT(wakeup_);
    watch(wakeup_.get(), EPOLLIN, [this](std::uint32_t) {
        std::uint64_t count = 0;
        if (::read(wakeup_.get(), &count, sizeof count) < 0) ASSERT(errno == EAGAIN);
    });
}

void Reactor::watch(int fd, std::uint32_t events, Handler handler) {
    handlers_[fd] = std::make_shared<Handler>(std::move(handler));
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void Reactor::change(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Reactor::forget(int fd) {
    handlers_.erase(fd);
    ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
}

void Reactor::every(std::chrono::milliseconds interval, std::function<void()> body) {
    timers_.push_back({interval, std::chrono::steady_clock::now() + interval, std::move(body)});
}

void Reactor::run() {
    {
        const std::scoped_lock lock(mutex_);
        running_ = true;
        thread_ = std::this_thread::get_id();
        called_.notify_all();
    }
    std::array<epoll_event, 64> events;
    for (;;) {
        run_calls();
        while (work_ && work_()) {}
        {
            const std::scoped_lock lock(mutex_);
            if (stopping_) break;
        }
        const int n =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), sleep_ms());
        for (int i = 0; i < n; ++i) {
            // A handler may forget others, whose descriptor may be somebody else's by now.
            const auto it = handlers_.find(events[static_cast<std::size_t>(i)].data.fd);
            if (it == handlers_.end()) continue;
            const std::shared_ptr<Handler> handler = it->second;
            (*handler)(events[static_cast<std::size_t>(i)].events);
        }
        run_timers();
    }
    const std::scoped_lock lock(mutex_);
    running_ = false;
    for (Call* call : calls_) {
        (*call->body)();
        call->done = true;
    }
    calls_.clear();
    called_.notify_all();
}

int Reactor::sleep_ms() {
    const auto asked = std::exchange(wake_at_, std::nullopt);
    if (timers_.empty() && !asked) return -1;
    auto next = asked ? *asked : timers_.front().next;
    for (const Timer& timer : timers_) next = std::min(next, timer.next);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(next - std::chrono::steady_clock::now())
            .count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60000));
}

void Reactor::run_timers() {
    const auto now = std::chrono::steady_clock::now();
    for (Timer& timer : timers_) {
        if (timer.next > now) continue;
        timer.next = now + timer.interval;
        timer.body();
    }
}

void Reactor::run_calls() {
    std::unique_lock lock(mutex_);
    while (!calls_.empty()) {
        Call* call = calls_.front();
        calls_.erase(calls_.begin());
        lock.unlock();
        (*call->body)();
        lock.lock();
        call->done = true;
        called_.notify_all();
    }
}

void Reactor::wake() {
    const std::uint64_t one = 1;
    if (::write(wakeup_.get(), &one, sizeof one) < 0) ASSERT(errno == EAGAIN);
}

void Reactor::stop() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    wake();
}

void Reactor::await_running() {
    std::unique_lock lock(mutex_);
    called_.wait(lock, [&] { return running_ || stopping_; });
}

void Reactor::call(const std::function<void()>& body) {
    std::unique_lock lock(mutex_);
    if (running_ && thread_ == std::this_thread::get_id()) {
        lock.unlock();
        return body();
    }
    if (!running_) {
        lock.unlock();
        const std::scoped_lock one_at_a_time(inline_mutex_);
        return body();
    }
    Call call{&body};
    calls_.push_back(&call);
    wake();
    called_.wait(lock, [&] { return call.done; });
}

}  // namespace thinvol
