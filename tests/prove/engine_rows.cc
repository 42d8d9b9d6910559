// S1, S4, S5, S8, S13, S46: power cuts, failed flushes and snapshots under a pool in use.
#include <fmt/format.h>

#include <algorithm>

#include "engine/base/crc32c.h"
#include "tests/prove/rows.h"
#include "tests/support/sim_run.h"

namespace thinvol {
namespace {

std::uint64_t identity(const std::vector<std::vector<std::byte>>& images) {
    std::uint64_t id = 0;
    for (const auto& image : images) id = id * 0x9e3779b97f4a7c15ULL + crc32c(image);
    return id;
}

struct Cuts {
    std::span<const Workload> workloads;
    std::uint64_t steps = 60;
    std::span<const CrashPolicy> policies;
    bool favour_devices = false;
    bool go_on = false;
};

// Runs of each workload in turn; power is cut at evenly spread positions until the budget is used.
Outcome run_cuts(const Cuts& cuts, const Budget& budget) {
    Outcome outcome;
    const std::uint64_t variants = cuts.policies.size() * (cuts.favour_devices ? 2 : 1);
    constexpr std::uint64_t cuts_per_run = 12;
    for (std::uint64_t run_number = 0; outcome.executed < budget.states; ++run_number) {
        const Workload& workload = cuts.workloads[run_number % cuts.workloads.size()];
        const std::uint64_t seed = budget.seed + run_number;
        SimRun run(workload, seed, run_number % 5 == 4 ? Sectors(8) : Sectors(1));
        run.run(cuts.steps);
        run.drain();
        Random random(seed);
        const std::uint64_t every =
            std::max<std::uint64_t>(1, run.trace().events.size() / cuts_per_run);
        CrashImages crash(run.trace(), run.initial_images());
        std::uint64_t skip = random.below(every);
        while (!crash.at_end() && run.failures().empty()) {
            crash.step();
            if (skip-- > 0) continue;
            skip = every - 1;
            for (std::uint64_t v = 0; v < variants && run.failures().empty(); ++v) {
                const CrashPolicy policy = cuts.policies[v % cuts.policies.size()];
                const auto favoured = static_cast<std::uint32_t>(v / cuts.policies.size());
                const auto images = crash.cut(policy, random, favoured);
                run.verify_cut(images, crash.position(), cuts.go_on);
                ++outcome.executed;
                outcome.distinct.insert(identity(images));
            }
        }
        if (!run.failures().empty()) {
            outcome.failure = fmt::format("workload \"{}\", seed {}: {}", workload.name, seed,
                                          run.failures().front());
            return outcome;
        }
    }
    return outcome;
}

constexpr Workload canonical[] = {
    {.name = "create", .write = 10, .flush = 3, .create = 10, .commit = 2},
    {.name = "fill", .write = 60, .fua = 3, .flush = 4, .commit = 3, .long_writes = true},
    {.name = "overwrite",
     .write = 60,
     .fua = 6,
     .flush = 8,
     .read = 5,
     .commit = 3,
     .volume_blocks = 3},
    {.name = "snapshot tree", .write = 20, .flush = 4, .read = 3, .snapshot = 20, .commit = 2},
    {.name = "break sharing",
     .write = 50,
     .fua = 3,
     .flush = 5,
     .read = 5,
     .snapshot = 8,
     .remove = 2,
     .commit = 4,
     .volume_blocks = 4},
    {.name = "delete",
     .write = 30,
     .flush = 4,
     .create = 6,
     .snapshot = 4,
     .remove = 12,
     .commit = 4},
    {.name = "discards",
     .write = 40,
     .fua = 3,
     .flush = 6,
     .discard = 25,
     .zero = 15,
     .read = 5,
     .snapshot = 3,
     .commit = 6,
     .volume_blocks = 5},
    {.name = "reduce", .write = 40, .flush = 4, .snapshot = 3, .trim = 10, .commit = 4},
    {.name = "grow data",
     .write = 50,
     .flush = 4,
     .snapshot = 3,
     .grow_data = 10,
     .commit = 3,
     .data_blocks = 12},
    {.name = "grow metadata",
     .write = 40,
     .flush = 4,
     .snapshot = 4,
     .grow_metadata = 10,
     .commit = 3},
    {.name = "out of space",
     .write = 60,
     .fua = 3,
     .flush = 6,
     .discard = 12,
     .snapshot = 4,
     .remove = 4,
     .trim = 2,
     .commit = 4,
     .data_blocks = 10},
    {.name = "slow commits",
     .write = 60,
     .flush = 4,
     .discard = 20,
     .commit = 6,
     .data_blocks = 8,
     .volume_blocks = 6,
     .metadata_slowness = 10},
    {.name = "everything",
     .write = 40,
     .fua = 4,
     .flush = 8,
     .discard = 6,
     .zero = 6,
     .read = 10,
     .create = 3,
     .snapshot = 5,
     .remove = 4,
     .trim = 2,
     .grow_data = 2,
     .grow_metadata = 2,
     .commit = 5},
    {.name = "full, and waiting for space",
     .write = 60,
     .fua = 4,
     .flush = 6,
     .discard = 14,
     .snapshot = 3,
     .remove = 3,
     .trim = 2,
     .grow_data = 1,
     .commit = 6,
     .data_blocks = 12,
     .waits_for_space = true},
    {.name = "several threads",
     .write = 50,
     .fua = 3,
     .flush = 6,
     .discard = 10,
     .zero = 5,
     .read = 15,
     .snapshot = 5,
     .remove = 3,
     .commit = 6,
     .data_blocks = 24,
     .volume_blocks = 6,
     .slowness = 4,
     .lanes = 2},
};
constexpr CrashPolicy all_policies[] = {
    CrashPolicy::none,     CrashPolicy::all,    CrashPolicy::prefix, CrashPolicy::all_but_one,
    CrashPolicy::only_one, CrashPolicy::random, CrashPolicy::torn};

}  // namespace

Outcome power_cuts_anywhere(const Budget& budget) {
    return run_cuts({.workloads = canonical, .policies = all_policies}, budget);
}

Outcome power_cuts_across_devices(const Budget& budget) {
    static constexpr Workload workloads[] = {canonical[1], canonical[4], canonical[6],
                                             canonical[12]};
    static constexpr CrashPolicy policies[] = {CrashPolicy::device_order};
    return run_cuts(
        {.workloads = workloads, .steps = 90, .policies = policies, .favour_devices = true},
        budget);
}

Outcome promised_writes_survive(const Budget& budget) {
    static constexpr Workload workloads[] = {
        {.name = "fua",
         .write = 20,
         .fua = 40,
         .flush = 10,
         .snapshot = 3,
         .commit = 3,
         .volume_blocks = 4},
        {.name = "flush",
         .write = 50,
         .flush = 40,
         .discard = 4,
         .zero = 4,
         .snapshot = 3,
         .commit = 3,
         .volume_blocks = 6},
    };
    static constexpr CrashPolicy policies[] = {CrashPolicy::none, CrashPolicy::only_one,
                                               CrashPolicy::random};
    return run_cuts({.workloads = workloads, .steps = 90, .policies = policies}, budget);
}

Outcome nothing_stale_is_shown(const Budget& budget) {
    static constexpr Workload workloads[] = {
        {.name = "recycled blocks",
         .write = 40,
         .flush = 6,
         .discard = 14,
         .zero = 6,
         .read = 10,
         .create = 6,
         .snapshot = 4,
         .remove = 8,
         .trim = 3,
         .commit = 6,
         .data_blocks = 16,
         .volume_blocks = 8,
         .metadata_slowness = 8},
        {.name = "new volumes",
         .write = 40,
         .flush = 4,
         .read = 10,
         .create = 12,
         .remove = 12,
         .commit = 6,
         .data_blocks = 14,
         .volume_blocks = 8},
    };
    static constexpr CrashPolicy policies[] = {CrashPolicy::none, CrashPolicy::all,
                                               CrashPolicy::random};
    return run_cuts({.workloads = workloads, .steps = 90, .policies = policies, .go_on = true},
                    budget);
}

// No power cuts: many writes to few blocks, and snapshots in the middle of them. A write that was
// answered is in its volume, and in every snapshot asked for later.
Outcome snapshots_are_instants(const Budget& budget) {
    static constexpr Workload workloads[] = {{.name = "instants",
                                              .write = 60,
                                              .flush = 2,
                                              .read = 15,
                                              .snapshot = 14,
                                              .remove = 8,
                                              .commit = 4,
                                              .volume_blocks = 2,
                                              .slowness = 6},
                                             {.name = "instants, several threads",
                                              .write = 60,
                                              .discard = 25,
                                              .read = 40,
                                              .snapshot = 10,
                                              .remove = 6,
                                              .commit = 10,
                                              .data_blocks = 9,
                                              .volume_blocks = 3,
                                              .slowness = 16,
                                              .most_in_flight = 24,
                                              .lanes = 2}};
    Outcome outcome;
    for (std::uint64_t seed = budget.seed; outcome.executed < budget.states; ++seed) {
        SimRun run(workloads[seed % std::size(workloads)], seed);
        for (int part = 0; part < 4 && run.failures().empty(); ++part) {
            run.run(60);
            run.verify_live();
            ++outcome.executed;
            outcome.distinct.insert(identity({run.metadata().image(), run.data().image()}));
        }
        if (!run.failures().empty()) {
            outcome.failure = fmt::format("seed {}: {}", seed, run.failures().front());
            return outcome;
        }
    }
    return outcome;
}

// Each flush of a run fails once; the device is fine afterwards, but for what that flush should
// have covered.
Outcome failed_flushes_stay_failed(const Budget& budget) {
    Outcome outcome;
    for (std::uint64_t seed = budget.seed; outcome.executed < budget.states; ++seed) {
        for (const bool on_metadata : {true, false}) {
            bool met = true;
            for (std::uint64_t n = 1; met && outcome.executed < budget.states; ++n) {
                Workload workload = canonical[12];
                workload.lanes = n % 3;
                SimRun run(workload, seed);
                SimDevice& device = on_metadata ? run.metadata() : run.data();
                std::uint64_t countdown = n;
                device.set_fault([&](const Request& r) -> std::optional<Error> {
                    // A superblock is written and flushed in one.
                    if ((r.op != Op::flush && !r.fua) || countdown == 0) return std::nullopt;
                    if (--countdown > 0) return std::nullopt;
                    return Error(Errc::io_error, "planted");
                });
                run.expect_errors();
                run.run(60);
                run.drain();
                met = countdown == 0;
                if (run.pool().mode() == PoolMode::read_only) run.verify_as_on_disk();
                Random random(seed);
                CrashImages crash(run.trace(), run.initial_images());
                while (!crash.at_end()) crash.step();
                for (const CrashPolicy policy : {CrashPolicy::none, CrashPolicy::random}) {
                    const auto images = crash.cut(policy, random);
                    run.verify_cut(images, crash.position());
                    ++outcome.executed;
                    outcome.distinct.insert(identity(images));
                }
                if (!run.failures().empty()) {
                    outcome.failure = fmt::format("flush {} of the {} device, seed {}: {}", n,
                                                  on_metadata ? "metadata" : "data", seed,
                                                  run.failures().front());
                    return outcome;
                }
            }
        }
    }
    return outcome;
}

}  // namespace thinvol
