// Handoff: work in pieces, passed to a second thread that goes on with them in order; so that the
// metadata tools, each a row of steps over a long stream, use two processors. The engine has no
// threads: they are put between its objects here.
//
// Units       pieces of T, reused: `clear(T&)` empties one and keeps its memory
// Invariants  (1) one piece is filled, at most pieces_waiting wait, one is consumed
//             (2) after an error of the consumer nothing more is consumed, and the next pass() or
//                 finish() has it
// Errors      the consumer's
// Threads     current(), pass() and finish() from one; the consumer runs on another, which ends
//             with finish() or the object
// Source      none
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

template <class T>
class Handoff {
public:
    static constexpr std::size_t pieces_waiting = 4;
    using Consumer = std::function<Result<>(T&)>;

    explicit Handoff(Consumer consume) : consume_(std::move(consume)), thread_([this] { run(); }) {}
    ~Handoff() { stop(); }
    Handoff(const Handoff&) = delete;
    Handoff& operator=(const Handoff&) = delete;

    T& current() { return current_; }
    // Hands on what is in current(), which is then empty.
    Result<> pass() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return waiting_.size() < pieces_waiting || !outcome_; });
        if (!outcome_) return outcome_;
        waiting_.push_back(std::move(current_));
        current_ = T();
        if (!spare_.empty()) {
            current_ = std::move(spare_.back());
            spare_.pop_back();
        }
        changed_.notify_all();
        return {};
    }
    // Waits until all is consumed. current() is not passed on by it.
    Result<> finish() {
        stop();
        return outcome_;
    }

private:
    void stop() {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
            changed_.notify_all();
        }
        if (thread_.joinable()) thread_.join();
    }
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [&] { return !waiting_.empty() || ended_; });
            if (waiting_.empty()) return;
            T piece = std::move(waiting_.front());
            waiting_.pop_front();
            changed_.notify_all();
            lock.unlock();
            Result<> outcome = consume_(piece);
            clear(piece);
            lock.lock();
            if (!outcome) {
                outcome_ = std::move(outcome);
                changed_.notify_all();
                return;
            }
            spare_.push_back(std::move(piece));
        }
    }

    Consumer consume_;
    T current_{};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<T> waiting_;
    std::vector<T> spare_;
    Result<> outcome_;
    bool ended_ = false;
    std::thread thread_;
};

}  // namespace thinvol
