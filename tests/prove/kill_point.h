// kill_point: runs a command, and kills it or the server that serves it at its n-th system call
// that anybody outside of the process can notice: writes, flushes, renames, sends and the like.
//
// Units       points: such system calls, counted from 1 at their entry
// Invariants  what was not killed runs on when the command has ended, untraced
// Errors      io_error: ptrace(2) is not allowed here; busy: no end within the limit, with what
//             everybody was at; all of it is killed then
// Threads     one
// Source      ptrace(2)
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tests/support/judges.h"

namespace thinvol {

enum class Victim {
    command,
    server,   // that runs already
    started,  // the server that the command starts
};

struct KillOrder {
    Victim victim = Victim::command;
    pid_t server = 0;          // of Victim::server
    std::uint64_t at = ~0ULL;  // more than there are: nothing is killed, points are counted
    int signal = 9;
};

struct KilledRun {
    std::uint64_t points = 0;
    int status = 0;  // of the command, as waitpid() has it
};

// With standard output and error in a file, standard input empty.
Result<KilledRun> run_killed(const std::vector<std::string>& command, const std::string& output,
                             const KillOrder& order, const TimeLimit& limit);

}  // namespace thinvol
