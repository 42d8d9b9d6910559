// Progress: how far a long run is, for whoever waits at a terminal; WatchedQueue: of a run that
// goes through a device.
//
// Units       steps of whatever the run counts
// Invariants  says nothing in the first second, nor where stderr is no terminal, nor with -q
// Errors      none
// Threads     add() on several at once
// Source      none
#pragma once

#include <atomic>
#include <chrono>

#include "commands/invocation.h"
#include "engine/block_queue.h"

namespace thinvol {

class Progress {
public:
    explicit Progress(const Invocation& call);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // Some more of about `all` steps are done.
    void add(std::uint64_t steps, std::uint64_t all);

private:
    void end();
    using Clock = std::chrono::steady_clock;

    const bool wanted_;
    const Clock::time_point began_ = Clock::now();
    std::atomic<std::uint64_t> done_{0};
    std::atomic<bool> ended_{false};
    std::atomic<std::int64_t> shown_at_{0};  // ms since began_; 0: never
};

// Counts what is read of a device, of about `all` sectors.
class WatchedQueue : public BlockQueue {
public:
    WatchedQueue(const Invocation& call, BlockQueue& device, Sectors all)
        : progress_(call), device_(device), all_(all) {}
    Sectors size() const override { return device_.size(); }
    Sectors granule() const override { return device_.granule(); }
    bool submit(Request& request) override {
        if (request.op == Op::read) progress_.add(request.length.n, all_.n);
        return device_.submit(request);
    }
    void poll(bool wait) override { device_.poll(wait); }
    std::size_t in_flight() const override { return device_.in_flight(); }

private:
    Progress progress_;
    BlockQueue& device_;
    Sectors all_;
};

}  // namespace thinvol
