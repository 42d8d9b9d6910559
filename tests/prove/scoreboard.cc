#include "tests/prove/scoreboard.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

namespace thinvol {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t seeds_of_a_round = 1'000'000'000;

// S4 before S33, S33 before S33c.
std::pair<unsigned long, std::string> order_of(const std::string& id) {
    std::size_t end = 0;
    const std::string digits = id.size() > 1 ? id.substr(1) : "0";
    const unsigned long number =
        std::isdigit(static_cast<unsigned char>(digits[0])) != 0 ? std::stoul(digits, &end) : 0;
    return {number, digits.substr(end)};
}

std::uint64_t distinct_of(const Outcome& outcome) {
    return outcome.distinct.size() + outcome.counted_distinct;
}

}  // namespace

Scoreboard::Scoreboard(ProofOptions options)
    : options_(std::move(options)), programs_(row_programs(THINVOL_ROW_PROGRAMS)) {
    add_lines();
}

void Scoreboard::add_lines() {
    const bool quick = options_.lane == ProofLane::quick;
    const auto wanted = [&](const std::string& id, std::uint64_t minimum) {
        return options_.only.empty() ? minimum > 0 : options_.only.contains(id);
    };
    for (const ProofRow& row : proof_rows()) {
        const std::uint64_t minimum = quick ? row.quick : row.ci;
        if (!wanted(row.id, minimum)) continue;
        Line line{.id = row.id, .what = row.what, .target = row.target, .row = &row};
        line.minimum = minimum * options_.times;
        lines_.push_back(std::move(line));
    }
    for (const RowProgram& program : programs_) {
        const RowProgram::Share& share = quick ? program.quick : program.ci;
        if (!wanted(program.id, share.minimum)) continue;
        Line line{.id = program.id, .what = program.what, .target = program.target};
        line.program = &program;
        line.minimum = share.minimum * options_.times;
        line.seconds = share.seconds * options_.times;
        lines_.push_back(std::move(line));
    }
    std::sort(lines_.begin(), lines_.end(),
              [](const Line& a, const Line& b) { return order_of(a.id) < order_of(b.id); });
}

std::vector<Scoreboard::Task> Scoreboard::tasks(std::uint64_t round) const {
    std::vector<Task> tasks;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
        const Line& line = lines_[i];
        const bool divisible = line.row != nullptr && line.row->divisible && !options_.replay;
        Budget budget{.states = line.minimum, .seed = options_.seed + round * seeds_of_a_round};
        budget.lane = options_.lane;
        budget.replay = options_.replay;
        budget.shards = divisible ? options_.jobs : 1;
        budget.states = (budget.states + budget.shards - 1) / budget.shards;
        for (; budget.shard < budget.shards; ++budget.shard) tasks.push_back({i, budget});
    }
    return tasks;
}

void Scoreboard::take(Line& line, Outcome outcome) {
    Outcome& sum = line.outcome;
    sum.executed += outcome.executed;
    sum.distinct.merge(outcome.distinct);
    sum.counted_distinct += outcome.counted_distinct;
    if (sum.failure.empty()) sum.failure = std::move(outcome.failure);
    sum.skipped = std::move(outcome.skipped);
    sum.value = std::move(outcome.value);
}

void Scoreboard::run_round(std::uint64_t round, bool prints) {
    struct Running {
        Task task;
        RowProcess process;
        Clock::time_point began;
    };
    std::vector<Task> waiting = tasks(round);
    for (const Task& task : waiting) ++lines_[task.line].open;
    std::vector<Running> running;
    std::size_t next = 0;
    std::size_t printed = 0;
    while (next < waiting.size() || !running.empty()) {
        while (running.size() < options_.jobs && next < waiting.size()) {
            const Task& task = waiting[next++];
            const Line& line = lines_[task.line];
            running.push_back({task,
                               line.row != nullptr
                                   ? RowProcess::of(*line.row, task.budget)
                                   : RowProcess::of(*line.program, line.seconds, task.budget.seed),
                               Clock::now()});
        }
        int status = 0;
        const pid_t ended = ::waitpid(-1, &status, 0);
        const auto it = std::find_if(running.begin(), running.end(),
                                     [&](const Running& r) { return r.process.pid() == ended; });
        if (it == running.end()) continue;
        Line& line = lines_[it->task.line];
        take(line, it->process.outcome(status));
        line.took += std::chrono::duration<double>(Clock::now() - it->began).count();
        --line.open;
        running.erase(it);
        while (prints && printed < lines_.size() && lines_[printed].open == 0)
            print(lines_[printed++]);
    }
}

const char* Scoreboard::verdict(const Line& line) const {
    const Outcome& outcome = line.outcome;
    if (!outcome.skipped.empty()) return options_.may_skip.contains(line.id) ? "SKIP" : "FAIL";
    const bool enough = options_.replay || outcome.executed >= line.minimum;
    return outcome.failure.empty() && enough ? "PASS" : "FAIL";
}

void Scoreboard::print(const Line& line) const {
    const Outcome& outcome = line.outcome;
    fmt::print("{:<5} {:<52} {:>9} {:>9} {:>9}  {:>7} {:>7}  {}\n", line.id, line.what,
               outcome.executed, distinct_of(outcome), line.minimum,
               outcome.failure.empty() ? outcome.value : "-", line.target, verdict(line));
    if (!outcome.skipped.empty()) fmt::print("      skipped: {}\n", outcome.skipped);
    if (!outcome.failure.empty()) fmt::print("      {}\n", outcome.failure);
    std::fflush(stdout);
}

void Scoreboard::write_json() const {
    nlohmann::json rows = nlohmann::json::array();
    for (const Line& line : lines_) {
        rows.push_back({{"id", line.id},
                        {"what", line.what},
                        {"executed", line.outcome.executed},
                        {"distinct", distinct_of(line.outcome)},
                        {"minimum", line.minimum},
                        {"value", line.outcome.value},
                        {"target", line.target},
                        {"verdict", verdict(line)},
                        {"failure", line.outcome.failure},
                        {"skipped", line.outcome.skipped},
                        {"processor_seconds", line.took}});
    }
    static constexpr const char* lanes[] = {"quick", "ci", "soak"};
    std::ofstream(options_.json) << nlohmann::json{{"lane", lanes[static_cast<int>(options_.lane)]},
                                                   {"seed", options_.seed},
                                                   {"rows", rows}}
                                        .dump(1)
                                 << '\n';
}

bool Scoreboard::run() {
    if (lines_.empty()) return false;
    fmt::print("{:<5} {:<52} {:>9} {:>9} {:>9}  {:>7} {:>7}\n", "id", "what", "executed",
               "distinct", "minimum", "value", "target");
    std::fflush(stdout);
    const bool soaks = options_.lane == ProofLane::soak;
    const auto end = Clock::now() + std::chrono::duration<double, std::ratio<3600>>(options_.hours);
    const auto bad = [&](const Line& line) { return verdict(line)[0] == 'F'; };
    std::uint64_t round = 0;
    do {
        run_round(round++, !soaks);
    } while (soaks && Clock::now() < end && std::none_of(lines_.begin(), lines_.end(), bad));
    if (soaks) {
        for (const Line& line : lines_) print(line);
        fmt::print("{} rounds\n", round);
    }
    if (!options_.json.empty()) write_json();
    return std::none_of(lines_.begin(), lines_.end(), bad);
}

}  // namespace thinvol
