// row_process: a row, or a shard of one, in a process of its own, so that what dies in it is its
// failure and no other's; and rows that are programs.
//
// Units       seconds for programs
// Invariants  the parent has no threads
// Errors      in the Outcome: a process that was killed, or said nothing that can be read
// Threads     one
// Source      fork(2)
//
// A program is an executable file tests/prove/rows.d/ID whose first lines hold
//     # Row: ID what it claims
//     # Quick: SECONDS MINIMUM        0 0: not in that lane
//     # CI: SECONDS MINIMUM
//     # Target: WORD                  what the value must be said to be; 0 if it is left out
// It is run as `ID --budget SECONDS --seed N` with THINVOL_BIN set, and its last line of output is
// `executed distinct value`. Exit status 0 passes; 77 is a skip, whose reason is the last line of
// standard error; anything else fails, with the end of standard error as its reason.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "engine/base/unique_fd.h"
#include "tests/prove/rows.h"

namespace thinvol {

struct RowProgram {
    std::string id, what, target = "0";
    std::string path;
    struct Share {
        std::uint64_t seconds = 0;
        std::uint64_t minimum = 0;
    } quick, ci;
};
// Those of the folder, by id.
std::vector<RowProgram> row_programs(const std::filesystem::path& folder);

class RowProcess {
public:
    static RowProcess of(const ProofRow& row, const Budget& budget);
    static RowProcess of(const RowProgram& program, std::uint64_t seconds, std::uint64_t seed);
    pid_t pid() const { return pid_; }
    // Once it has ended with that status of waitpid().
    Outcome outcome(int status) const;

private:
    pid_t pid_ = 0;
    bool program_ = false;
    UniqueFd output_;
    UniqueFd errors_;
    std::uint64_t* at_ = nullptr;  // the case that it is at, in memory of both
};

}  // namespace thinvol
