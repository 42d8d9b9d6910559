// program: other people's programs, run without a shell.
//
// Units       none
// Invariants  a program has none of this process's descriptors but those it is given, no signal
//             blocked or ignored, and a process group of its own, which no terminal interrupts
// Errors      not_found: it is not installed; io_error: it cannot be run, failed or took too long,
//             with the end of what it said
// Threads     any
// Source      posix_spawn(3)
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

struct Program {
    std::vector<std::string> words;        // it and its arguments
    std::vector<std::string> variables{};  // "NAME=value", besides those of this process
};
struct ProgramDescriptors {  // -1: /dev/null
    int input = -1;
    int output = -1;
    int errors = -1;
};
Result<pid_t> start_program(const Program& program, const ProgramDescriptors& descriptors);

struct ProgramEnd {
    int status = 0;      // 128 and more: the signal that ended it
    std::string output;  // the end of what it said, in one line
};
// Waits for it, for `limit` at most: then it is killed, with all that it started, which is an
// error.
Result<ProgramEnd> run_program(const Program& program,
                               std::optional<std::chrono::seconds> limit = std::nullopt);
// The same; whatever it ends with but 0 is an error.
Result<> run_to_success(const Program& program,
                        std::optional<std::chrono::seconds> limit = std::nullopt);

// Its path, looked for where root's programs are too.
Result<std::string> find_program(const std::string& name);

}  // namespace thinvol
