// scoreboard: the rows of a lane, run several at a time, and a line about each.
//
// Units       hours for a soak
// Invariants  (1) below its minimum a row fails, and so does a skip that was not allowed
//             (2) the lines come in the order of the rows
// Errors      in the lines; run() is true if all passed
// Threads     one; rows are processes
// Source      none
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/prove/row_process.h"

namespace thinvol {

struct ProofOptions {
    ProofLane lane = ProofLane::quick;
    double hours = 0;                // of a soak
    std::set<std::string> only;      // ids; empty: all of the lane
    std::set<std::string> may_skip;  // ids
    std::uint64_t seed = 1;
    std::uint64_t times = 1;  // the minimum
    bool replay = false;
    unsigned jobs = 1;
    std::string json;    // a file for the figures; empty: none
    std::string images;  // a folder for `times` pools' metadata, and nothing else is done
};

class Scoreboard {
public:
    explicit Scoreboard(ProofOptions options);
    bool run();

private:
    struct Line {
        std::string id, what, target;
        const ProofRow* row = nullptr;  // or a program
        const RowProgram* program = nullptr;
        std::uint64_t minimum = 0;
        std::uint64_t seconds = 0;  // of a program
        Outcome outcome{};
        std::size_t open = 0;  // shards that have not ended
        double took = 0;
    };
    struct Task {
        std::size_t line;
        Budget budget;
    };
    void add_lines();
    std::vector<Task> tasks(std::uint64_t round) const;
    void run_round(std::uint64_t round, bool prints);
    void take(Line& line, Outcome outcome);
    const char* verdict(const Line& line) const;
    void print(const Line& line) const;
    void write_json() const;

    ProofOptions options_;
    std::vector<RowProgram> programs_;
    std::vector<Line> lines_;
};

}  // namespace thinvol
