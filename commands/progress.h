// Progress: how far a long run is, for whoever waits at a terminal.
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
    using Clock = std::chrono::steady_clock;

    const bool wanted_;
    const Clock::time_point began_ = Clock::now();
    std::atomic<std::uint64_t> done_{0};
    std::atomic<std::int64_t> shown_at_{0};  // ms since began_; 0: never
};

}  // namespace thinvol
