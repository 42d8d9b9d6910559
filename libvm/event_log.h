// EventLog: what a pool told since its server runs, for whoever wants to know it at once.
//
// Units       seconds since 1970
// Invariants  (1) events are numbered from 1, without gaps; the last thousand are kept
//             (2) who waits is woken by the next event, by close(), or when his time is over
// Errors      none
// Threads     any
// Source      none
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "engine/pool_event.h"

namespace thinvol {

struct LoggedEvent {
    std::uint64_t number = 0;
    std::int64_t time = 0;
    std::string kind;  // name_of(PoolEvent::Kind), or one of pool_keeper's: autoextend,
                       // autoextend_limit, autoextend_failed, settings
    std::string mode;
    unsigned percent = 0;
    std::string text;
    bool operator==(const LoggedEvent&) const = default;
};

class EventLog {
public:
    // Its number is given here.
    void add(LoggedEvent event) {
        const std::scoped_lock lock(mutex_);
        event.number = ++last_;
        events_.push_back(std::move(event));
        if (events_.size() > kept) events_.pop_front();
        changed_.notify_all();
    }
    // Events numbered above `after`; waits for one if there is none.
    std::vector<LoggedEvent> after(std::uint64_t after, std::chrono::milliseconds limit) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, limit, [&] { return last_ > after || closed_; });
        std::vector<LoggedEvent> found;
        for (const LoggedEvent& event : events_) {
            if (event.number > after) found.push_back(event);
        }
        return found;
    }
    // As many happened before.
    void begin_after(std::uint64_t number) { last_ = number; }
    std::uint64_t last() {
        const std::scoped_lock lock(mutex_);
        return last_;
    }
    void close() {
        const std::scoped_lock lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

private:
    static constexpr std::size_t kept = 1000;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<LoggedEvent> events_;
    std::uint64_t last_ = 0;
    bool closed_ = false;
};

}  // namespace thinvol
