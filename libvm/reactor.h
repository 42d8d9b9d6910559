// Reactor: one thread that waits for descriptors, timers and other threads' calls, and lets a pool
// work.
//
// Units       milliseconds
// Invariants  (1) handlers, timers and calls run on the reactor's thread, one after the other
//             (2) it sleeps only when work() says that there is nothing left to do without waiting
// Errors      none after construction
// Threads     run() is the thread; call(), stop() and await_running()
//             from any other, wake() from any
// Source      epoll(7), eventfd(2)
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/base/unique_fd.h"

namespace thinvol {

class Reactor {
public:
    Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    using Handler = std::function<void(std::uint32_t events)>;
    void watch(int fd, std::uint32_t events, Handler handler);
    void change(int fd, std::uint32_t events);
    void forget(int fd);
    void every(std::chrono::milliseconds interval, std::function<void()> body);
    // The next sleep ends by then.
    void wake_at(std::chrono::steady_clock::time_point time) {
        wake_at_ = std::min(wake_at_.value_or(time), time);
    }
    // Called until it returns false, before each sleep.
    void set_work(std::function<bool()> work) { work_ = std::move(work); }

    void run();
    void stop();
    // Until run() runs, so that call() is not carried out by who calls.
    void await_running();
    // Ends its sleep, or keeps it from the next.
    void wake();
    // Runs `body` on the reactor's thread and waits for it. On that thread itself, or when run() is
    // not running, at once.
    void call(const std::function<void()>& body);

private:
    struct Timer {
        std::chrono::milliseconds interval;
        std::chrono::steady_clock::time_point next;
        std::function<void()> body;
    };
    struct Call {
        const std::function<void()>* body;
        bool done = false;
    };
    int sleep_ms();
    void run_timers();
    void run_calls();

    UniqueFd epoll_;
    UniqueFd wakeup_;
    std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
    std::vector<Timer> timers_;
    std::function<bool()> work_;
    std::optional<std::chrono::steady_clock::time_point> wake_at_;

    std::mutex inline_mutex_;  // of calls while run() is not running
    std::mutex mutex_;
    std::condition_variable called_;  // or running
    std::vector<Call*> calls_;        // under mutex_
    bool stopping_ = false;           // under mutex_
    bool running_ = false;            // under mutex_
    std::thread::id thread_{};        // that runs; under mutex_
};

}  // namespace thinvol
