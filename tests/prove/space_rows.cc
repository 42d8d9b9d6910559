// S16 to S19, S22: too little space, of each kind, at each moment.
#include <fmt/format.h>

#include <algorithm>

#include "tests/prove/run_end.h"
#include "tests/prove/workloads.h"

namespace thinvol {
namespace {

// The run's pool is judged as it lives, and as it is left.
void judge(SimRun& run, std::uint64_t number, Outcome& outcome) {
    if (run.failures().empty()) run.verify_live();
    judge_end(run, number, outcome);
    if (!run.failures().empty())
        outcome.failure = fmt::format("--replay {}: {}; acts: {}", number, run.failures().front(),
                                      text_of(run.acts()));
}

void fail(SimRun& run, std::uint64_t number, const std::string& text, Outcome& outcome) {
    outcome.failure = fmt::format("--replay {}: {}; acts: {}", number, text, text_of(run.acts()));
}

}  // namespace

// S16: pools of 1 data block, of 2 ..., so that the last allocation is each one in turn; then room
// comes.
Outcome data_space_ends_anywhere(const Budget& budget) {
    constexpr std::uint64_t sizes = 30;
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const auto all = canonical_workloads();
        Workload workload = all[number / sizes / 2 % all.size()];
        workload.data_blocks = 1 + number % sizes;
        workload.waits_for_space = number / sizes % 2 == 1;
        SimRun run(workload, number);
        run.run(35);
        run.drain();
        if (run.pool().mode() >= PoolMode::read_only)
            return fail(run, number, "no space, and the pool is " + run.pool().status().trouble,
                        outcome);
        judge(run, number, outcome);
        if (!outcome.failure.empty()) return;
        run.play({{.kind = Act::Kind::grow_data, .n = 20, .turns = 3}});
        run.drain();
        const std::uint64_t refused = run.out_of_space();
        for (std::uint64_t at = 0; at < workload.volume_blocks; ++at)
            run.play({{.kind = Act::Kind::write, .at = at * 128, .n = 1, .turns = 3}});
        run.drain();
        if (run.pool().mode() != PoolMode::write || run.out_of_space() != refused)
            return fail(run, number, "there is space again, and writes are refused", outcome);
        judge(run, number, outcome);
    });
    return outcome;
}

// S17: the same of metadata: more and more of them are taken by volumes that nobody uses.
Outcome metadata_space_ends_anywhere(const Budget& budget) {
    constexpr std::uint64_t amounts = 100;
    constexpr std::uint32_t least = 20;
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const auto all = canonical_workloads();
        Workload workload = all[number / amounts % all.size()];
        workload.metadata_blocks = 128;
        workload.ballast = least + static_cast<std::uint32_t>(number % amounts);
        workload.grow_metadata = 0;
        workload.metadata_slowness = 1 + number % 3 * 4;
        workload.waits_for_space = number % 2 == 1;
        SimRun run(workload, number);
        run.run(45);
        run.drain();
        if (run.pool().mode() >= PoolMode::read_only)
            return fail(run, number, "a transaction was dropped: " + run.pool().status().trouble,
                        outcome);
        judge(run, number, outcome);
    });
    return outcome;
}

// S18: the file system below the data, or the metadata, is full for a while, or for good.
Outcome host_file_system_is_full(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        const auto all = canonical_workloads();
        Workload workload = all[number % all.size()];
        workload.waits_for_space = number / 2 % 2 == 1;
        const bool of_metadata = number % 5 == 0;
        const std::uint64_t begin = number / 7 % 40;
        const std::uint64_t length = number % 3 == 0 ? ~0ULL >> 1 : 1 + number % 11;
        SimRun run(workload, number);
        std::uint64_t count = 0;
        (of_metadata ? run.metadata() : run.data())
            .set_fault([&](const Request& r) -> std::optional<Error> {
                if (r.op != Op::write && r.op != Op::write_zeroes) return std::nullopt;
                ++count;
                if (count <= begin || count - begin > length) return std::nullopt;
                return Error(Errc::out_of_space, "the file system is full");
            });
        if (of_metadata) run.expect_errors();
        run.run(35);
        run.drain();
        if (!of_metadata && run.pool().mode() >= PoolMode::read_only)
            return fail(run, number, "full below, and the pool is " + run.pool().status().trouble,
                        outcome);
        run.metadata().set_fault(nullptr);
        run.data().set_fault(nullptr);
        judge_end(run, number, outcome);
        if (!run.failures().empty()) fail(run, number, run.failures().front(), outcome);
    });
    return outcome;
}

// S19: full, freed in one of several ways, and full again at once: what was freed is there for the
// next write, after the commit that the pool makes by itself. A power cut comes in between.
Outcome freed_space_is_space(const Budget& budget) {
    static constexpr Workload workload{.name = "freed", .data_blocks = 6, .volume_blocks = 6};
    constexpr Act fill{.kind = Act::Kind::write, .at = 0, .n = 6 * 128, .turns = 2};
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        Workload mine = workload;
        mine.waits_for_space = number % 2 == 1;
        mine.metadata_slowness = 1 + number % 4 * 3;
        SimRun run(mine, number);
        run.play({fill});
        run.drain();
        for (std::uint64_t cycle = 0; cycle < 8 && run.failures().empty(); ++cycle) {
            ++outcome.executed;
            const std::uint64_t way = (number + cycle) % 4;
            if (way == 0) run.play({{.kind = Act::Kind::discard, .at = 0, .n = 6 * 128}});
            if (way == 1) run.play({{.kind = Act::Kind::trim, .at = 0}});
            if (way == 2) run.play({{.kind = Act::Kind::zero, .at = 0, .n = 6 * 128}});
            if (way == 3) {
                run.play({{.kind = Act::Kind::create, .turns = 4}});
                run.drain();
                run.play({{.kind = Act::Kind::remove, .who = 0, .turns = 4}});
            }
            run.drain();
            run.play({fill});
            run.drain();
            if (run.out_of_space() > 0)
                return fail(run, number, "what was freed is not there for the next write", outcome);
        }
        judge(run, number, outcome);
    });
    return outcome;
}

// S22: a writer, and an extender that looks at the fill level, too late, in vain at first, or after
// a restart. While space comes in the end, no write is refused.
Outcome extender_races_writer(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t number) {
        Workload workload = workload_named("full, and waiting for space");
        workload.grow_data = 0;
        workload.data_blocks = 6;
        const std::uint64_t late = number % 7;  // acts
        const std::uint64_t failures = number / 7 % 3;
        const bool restarts = number % 4 == 3;
        bool told = false;
        SimRun run(workload, number);
        const auto listen = [&] {
            PoolFeatures features = run.pool().features();
            features.fill_levels = {70};
            if (auto set = run.pool().set_features(features); !set) return;
            run.pool().on_event([&](const PoolEvent&) { told = number % 5 != 0; });  // or is lost
        };
        listen();
        std::uint64_t attempts = 0;
        std::uint64_t due = 0;
        for (std::uint64_t act = 1; act <= 60 && run.failures().empty(); ++act) {
            run.run(1);
            const PoolStatus status = run.pool().status();
            const bool full = status.data_used.n * 10 >= status.data_size.n * 7;
            const bool looks = told || act % 5 == 0;  // at each event, and once a second
            if (full && looks && due == 0) due = act + late;
            if (due != 0 && act >= due) {
                due = 0;
                told = false;
                if (attempts++ >= failures)
                    run.play({{.kind = Act::Kind::grow_data, .n = 3, .turns = 2}});
            }
            if (restarts && act == 30) {
                run.play({{.kind = Act::Kind::grow_data, .n = 12, .turns = 2}});
                run.reopen();
                listen();
            }
        }
        // Not while another operation is under way.
        const Sectors small = run.data().size();
        for (int tries = 0; tries < 50 && run.data().size() == small; ++tries)
            run.play({{.kind = Act::Kind::grow_data, .n = 60, .turns = 4}});
        run.pool().on_event({});
        run.drain();
        if (run.failures().empty() && run.pool().mode() != PoolMode::write)
            return fail(run, number, "there is space, and the pool does not know", outcome);
        judge(run, number, outcome);
    });
    return outcome;
}

}  // namespace thinvol
