// Interruption: lets a long run end in order when it is interrupted or told to end.
//
// Units       none
// Invariants  while one lives, SIGINT, SIGTERM and SIGHUP are only remembered; once: the next one
//             ends the process
// Errors      none
// Threads     any
// Source      signal(7)
#pragma once

#include <array>
#include <csignal>

namespace thinvol {

class Interruption {
public:
    Interruption();
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;
    static bool came();

private:
    static constexpr std::array<int, 3> signals{SIGINT, SIGTERM, SIGHUP};
    std::array<struct sigaction, signals.size()> before_{};
    struct sigaction pipe_before_{};  // a reader that went away is an error like others
};

}  // namespace thinvol
