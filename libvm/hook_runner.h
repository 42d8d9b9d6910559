// HookRunner: runs programs for events, a few at once and none for too long, and never waits for
// one.
//
// Units       none
// Invariants  (1) a hook has none of this process's descriptors but standard error, a process group
//                 of its own, and no shell
//             (2) of hooks that wait, the newest hundred are kept
// Errors      a hook that cannot be run, fails or takes too long is named on standard error
// Threads     one
// Source      posix_spawn(3)
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <string>
#include <vector>

namespace thinvol {

struct Hook {
    std::vector<std::string> command;    // program and arguments
    std::vector<std::string> variables;  // "NAME=value", besides those of this process
    std::string input;
    std::chrono::seconds limit{};
};

class HookRunner {
public:
    HookRunner() = default;
    HookRunner(const HookRunner&) = delete;
    HookRunner& operator=(const HookRunner&) = delete;
    // Those under way are asked to end.
    ~HookRunner();

    void add(Hook hook);
    // Takes note of those that ended, ends those that take too long, starts what may start.
    void turn(std::size_t at_once);
    bool busy() const { return !waiting_.empty() || !running_.empty(); }

private:
    using Clock = std::chrono::steady_clock;
    struct Running {
        pid_t pid;
        std::string program;
        Clock::time_point end;
    };
    static bool ended(const Running& hook);
    void start(const Hook& hook);

    std::deque<Hook> waiting_;
    std::vector<Running> running_;
};

}  // namespace thinvol
