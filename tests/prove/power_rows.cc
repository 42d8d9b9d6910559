// S1 to S8: power cuts. What a cut may leave is chosen in many ways; what it must leave says the
// oracle.
#include <fmt/format.h>

#include <algorithm>

#include "tests/prove/rows.h"
#include "tests/prove/workloads.h"
#include "tests/support/minimise.h"

namespace thinvol {
namespace {

using Cuts = std::vector<CrashImages::Cut>;

struct Plan {
    // Makes the cuts to be tried where a trace is at.
    void (*cuts)(const CrashImages& crash, Random& random, Cuts& into);
    std::uint64_t steps = 40;
    bool go_on = false;            // the pool is used afterwards
    std::uint64_t sample = 0;      // boundaries of a run; 0: all
    std::uint64_t from = 0;        // positions of the trace
    Sectors granule = Sectors(1);  // of the data device
};

constexpr CrashPolicy subset_policies[] = {CrashPolicy::none,     CrashPolicy::all,
                                           CrashPolicy::prefix,   CrashPolicy::all_but_one,
                                           CrashPolicy::only_one, CrashPolicy::random};

void by_policies(const CrashImages& crash, Random& random, std::span<const CrashPolicy> policies,
                 Cuts& into) {
    for (const CrashPolicy policy : policies) into.push_back(crash.choose(policy, random));
}

// Power is cut at boundaries of what the run did. One failure is enough.
void look_everywhere(SimRun& run, const Plan& plan, std::uint64_t seed, Outcome& outcome) {
    std::uint64_t boundaries = 0;
    for (CrashImages count(run.trace(), {{}, {}}); plan.sample > 0 && count.step_to_boundary();)
        ++boundaries;
    const std::uint64_t every =
        plan.sample == 0 ? 1 : std::max<std::uint64_t>(1, boundaries / plan.sample);
    CrashImages crash(run.trace(), run.initial_images());
    std::unordered_set<std::uint64_t> seen;  // images, with what was promised by then
    for (std::uint64_t n = seed; crash.step_to_boundary() && run.failures().empty(); ++n) {
        if (n % every != 0 || crash.position() < plan.from) continue;
        Random random(seed + 1000003 * crash.position());
        Cuts cuts;
        plan.cuts(crash, random, cuts);
        for (const CrashImages::Cut& cut : cuts) {
            crash.with(cut, [&](CrashImages::Images& images, std::uint64_t identity) {
                ++outcome.executed;
                outcome.distinct.insert(identity);
                if (!seen.insert(identity + crash.notes() * 0x9e3779b97f4a7c15ULL).second) return;
                if (plan.go_on) run.verify_cut(images, crash.position(), true);
                else run.look_at_cut(images, crash.position());
            });
            if (!run.failures().empty()) return;
        }
    }
}

// Devices of several tempers, so that more is in flight, or less.
Workload varied(Workload workload, std::uint64_t seed) {
    if (seed % 3 == 1) workload.slowness = workload.metadata_slowness = 5;
    if (seed % 3 == 2) workload.metadata_slowness = 12;
    return workload;
}

// The acts, fewer if it fails with fewer as well, and what went wrong then.
std::string explained(const Workload& workload, Plan plan, std::uint64_t seed,
                      const std::vector<Act>& acts, const std::string& first) {
    plan.sample = 0;
    std::string why = first;
    const auto fewer = minimised(acts, 150, [&](const std::vector<Act>& some) {
        SimRun run(workload, seed, plan.granule);
        run.play(some);
        run.drain();
        Outcome ignored;
        look_everywhere(run, plan, seed, ignored);
        if (!run.failures().empty()) why = run.failures().front();
        return !run.failures().empty();
    });
    return fmt::format("workload \"{}\", --replay {}, {} of {} acts: {}: {}", workload.name, seed,
                       fewer.size(), acts.size(), text_of(fewer), why);
}

void run_case(const Workload& workload, const Plan& plan, std::uint64_t seed, Outcome& outcome) {
    SimRun run(workload, seed, plan.granule);
    run.run(plan.steps);
    run.drain();
    look_everywhere(run, plan, seed, outcome);
    if (!run.failures().empty())
        outcome.failure = explained(workload, plan, seed, run.acts(), run.failures().front());
}

Outcome run_cases(std::span<const Workload> workloads, const Plan& plan, const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        Plan mine = plan;
        if (budget.lane != ProofLane::quick || budget.replay) mine.sample = 0;
        if (seed % 5 == 4) mine.granule = Sectors(8);
        run_case(varied(workloads[seed % workloads.size()], seed), mine, seed, outcome);
    });
    return outcome;
}

// Each way in which a write of the metadata can be cut off, when it is the last one submitted.
void torn_cuts(const CrashImages& crash, Random& random, Cuts& into) {
    if (crash.pending() == 0) return;
    const std::size_t last = crash.pending() - 1;
    const Trace::Write& write = crash.pending_write(last);
    const std::size_t sectors = write.bytes.size() / sector_bytes;
    if (write.device != 0) return into.push_back(crash.choose(CrashPolicy::torn, random));
    for (std::size_t s = 1; s < sectors; ++s) {
        for (const bool others : {false, true}) {
            for (const bool end_is_there : {false, true}) {
                CrashImages::Cut cut;
                for (std::size_t i = 0; others && i < last; ++i) cut.push_back(crash.piece(i));
                cut.push_back(end_is_there ? crash.piece(last, s * sector_bytes, write.bytes.size())
                                           : crash.piece(last, 0, s * sector_bytes));
                into.push_back(std::move(cut));
            }
        }
    }
}

// Of one device everything, nothing or anything, of the other something else.
void crossed_cuts(const CrashImages& crash, Random& random, Cuts& into) {
    enum class Keeps { none, all, some };
    for (const Keeps metadata : {Keeps::none, Keeps::all, Keeps::some}) {
        for (const Keeps data : {Keeps::none, Keeps::all, Keeps::some}) {
            if (metadata == data) continue;
            CrashImages::Cut cut;
            for (std::size_t i = 0; i < crash.pending(); ++i) {
                const Keeps keeps = crash.pending_write(i).device == 0 ? metadata : data;
                if (keeps == Keeps::all || (keeps == Keeps::some && random.one_in(2)))
                    cut.push_back(crash.piece(i));
            }
            into.push_back(std::move(cut));
        }
    }
}

// Every subset, where there are few enough.
template <std::size_t most>
void all_subsets(const CrashImages& crash, Random&, Cuts& into) {
    const std::size_t n = crash.pending();
    if (n < 2 || n > most) return;
    for (std::uint64_t mask = 0; mask < 1ULL << n; ++mask) {
        CrashImages::Cut cut;
        for (std::size_t i = 0; i < n; ++i)
            if ((mask >> i & 1) != 0) cut.push_back(crash.piece(i));
        into.push_back(std::move(cut));
    }
}

}  // namespace

Outcome power_cuts_anywhere(const Budget& budget) {
    return run_cases(canonical_workloads(),
                     {.cuts = [](const CrashImages& crash, Random& random,
                                 Cuts& into) { by_policies(crash, random, subset_policies, into); },
                      .sample = 12},
                     budget);
}

Outcome torn_writes(const Budget& budget) {
    return run_cases(canonical_workloads(), {.cuts = torn_cuts, .sample = 24}, budget);
}

Outcome power_cuts_across_devices(const Budget& budget) {
    return run_cases(canonical_workloads(), {.cuts = crossed_cuts, .steps = 60, .sample = 12},
                     budget);
}

Outcome promised_writes_survive(const Budget& budget) {
    const Workload workloads[] = {workload_named("fua"), workload_named("flushes")};
    return run_cases(workloads,
                     {.cuts =
                          [](const CrashImages& crash, Random& random, Cuts& into) {
                              static constexpr CrashPolicy policies[] = {
                                  CrashPolicy::none, CrashPolicy::only_one, CrashPolicy::random};
                              by_policies(crash, random, policies, into);
                          },
                      .steps = 60,
                      .sample = 12},
                     budget);
}

// What was written stays where only the process ends.
Outcome answered_writes_outlive(const Budget& budget) {
    Workload workloads[] = {workload_named("break sharing"), workload_named("several threads"),
                            workload_named("everything")};
    for (Workload& workload : workloads) workload.outlived = true;
    return run_cases(
        workloads,
        {.cuts = [](const CrashImages& crash, Random& random,
                    Cuts& into) { into.push_back(crash.choose(CrashPolicy::all, random)); },
         .steps = 60,
         .sample = 60},
        budget);
}

Outcome reorderings_of_epochs(const Budget& budget) {
    const Workload workloads[] = {workload_named("small epochs"), workload_named("break sharing"),
                                  workload_named("flushes")};
    Plan plan{.cuts = all_subsets<9>, .steps = 25, .sample = 6};
    if (budget.lane == ProofLane::ci) plan.cuts = all_subsets<12>;
    if (budget.lane == ProofLane::soak) plan.cuts = all_subsets<16>;
    return run_cases(workloads, plan, budget);
}

Outcome nothing_stale_is_shown(const Budget& budget) {
    const Workload workloads[] = {workload_named("recycled blocks"), workload_named("new volumes")};
    return run_cases(workloads,
                     {.cuts =
                          [](const CrashImages& crash, Random& random, Cuts& into) {
                              static constexpr CrashPolicy policies[] = {
                                  CrashPolicy::none, CrashPolicy::all, CrashPolicy::random};
                              by_policies(crash, random, policies, into);
                          },
                      .steps = 60,
                      .go_on = true,
                      .sample = 12},
                     budget);
}

// --- S3: a power cut, the pool in use again, a second power cut, sometimes a third ---------------

namespace {

constexpr Plan after_recovery{
    .cuts =
        [](const CrashImages& crash, Random& random, Cuts& into) {
            static constexpr CrashPolicy policies[] = {CrashPolicy::none, CrashPolicy::prefix,
                                                       CrashPolicy::random};
            by_policies(crash, random, policies, into);
        },
    .steps = 14,
};

// What a cut somewhere in that run left.
CrashImages::Images some_images(SimRun& run, Random& random) {
    CrashImages crash(run.trace(), run.initial_images());
    const std::uint64_t until = random.below(run.trace().events.size() + 1);
    while (crash.position() < until && crash.step_to_boundary()) {}
    auto images = crash.cut(subset_policies[random.below(std::size(subset_policies))], random);
    run.verify_cut(images, crash.position());
    return images;
}

void recover(SimRun& before, std::uint64_t seed, unsigned depth, Outcome& outcome) {
    Random random(seed + depth);
    const auto images = some_images(before, random);
    if (!before.failures().empty()) {
        outcome.failure = before.failures().front();
        return;
    }
    SimRun again(before, images, seed + depth);
    if (again.failures().empty()) again.run(after_recovery.steps);
    if (again.failures().empty()) again.drain();
    look_everywhere(again, after_recovery, seed, outcome);
    if (!again.failures().empty()) outcome.failure = again.failures().front();
    else if (depth < 2 && seed % 8 == 0) recover(again, seed, depth + 1, outcome);
}

}  // namespace

Outcome power_cuts_in_recovery(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        const auto all = canonical_workloads();
        const Workload workload = varied(all[seed % all.size()], seed);
        SimRun run(workload, seed);
        run.run(40);
        run.drain();
        for (unsigned part = 0; part < 4 && outcome.failure.empty(); ++part)
            recover(run, seed + 100 * part, 1, outcome);
        if (!outcome.failure.empty())
            outcome.failure = fmt::format("workload \"{}\", --replay {}: {}", workload.name, seed,
                                          outcome.failure);
    });
    return outcome;
}

// --- S7: all short workloads ---------------------------------------------------------------------

namespace {

constexpr std::uint64_t operations = 14;
constexpr std::uint64_t arguments = 3;
constexpr std::uint64_t steps_there_are = operations * arguments;

// Volume 0 has blocks 0 and 1, the second of them shared with its snapshot.
const std::vector<Act> in_the_beginning{
    {.kind = Act::Kind::write, .at = 0, .n = 256}, {.kind = Act::Kind::snapshot},
    {.kind = Act::Kind::settle, .flag = true},     {.kind = Act::Kind::write, .at = 0, .n = 128},
    {.kind = Act::Kind::settle, .flag = true},
};

Act step_of(std::uint64_t number) {
    using enum Act::Kind;
    static constexpr Act kinds[operations] = {
        {.kind = write, .at = 5, .n = 9},
        {.kind = write, .at = 0, .n = 128},
        {.kind = write, .at = 100, .n = 160},
        {.kind = write, .at = 3, .n = 2, .fua = true},
        {.kind = zero, .at = 0, .n = 128},
        {.kind = zero, .at = 7, .n = 20, .flag = true},
        {.kind = discard, .at = 0, .n = 128},
        {.kind = create},
        {.kind = snapshot},
        {.kind = remove},
        {.kind = trim},
        {.kind = grow_data},
        {.kind = grow_metadata},
        {.kind = hold},
    };
    Act act = kinds[number / arguments];
    const std::uint64_t argument = number % arguments;
    act.who = argument == 1 ? 1 : 0;
    if (act.kind <= discard) act.at += 128 * argument;  // its own, shared, not there
    else if (act.kind == trim) act.at = argument;
    else if (act.kind == hold && argument == 1) act.kind = release;
    else act.n = argument + 1;
    return act;
}

// The sequence of that number: those of one step, then those of two, then three.
std::vector<Act> sequence_of(std::uint64_t number) {
    std::uint64_t length = 1;
    std::uint64_t there_are = steps_there_are;
    while (number >= there_are) {
        number -= there_are;
        there_are *= steps_there_are;
        ++length;
    }
    std::vector<Act> acts;
    for (; length > 0; --length, number /= steps_there_are)
        acts.push_back(step_of(number % steps_there_are));
    return acts;
}

}  // namespace

Outcome all_short_workloads(const Budget& budget) {
    static constexpr Workload workload{.name = "short", .data_blocks = 8, .volume_blocks = 3};
    std::uint64_t sequences = steps_there_are + steps_there_are * steps_there_are;
    if (budget.lane == ProofLane::soak)
        sequences += steps_there_are * steps_there_are * steps_there_are;
    Plan plan{.cuts = [](const CrashImages& crash, Random& random, Cuts& into) {
        static constexpr CrashPolicy policies[] = {CrashPolicy::none, CrashPolicy::prefix,
                                                   CrashPolicy::random};
        by_policies(crash, random, policies, into);
    }};
    Outcome outcome;
    for_cases(budget, 2 * sequences, outcome, [&](std::uint64_t number) {
        const bool flushes = number % 2 == 1;
        SimRun run(workload, number);
        run.play(in_the_beginning);
        plan.from = run.trace().position();
        for (const Act& act : sequence_of(number / 2)) {
            run.play({act, {.kind = Act::Kind::settle, .flag = flushes}});
        }
        look_everywhere(run, plan, number, outcome);
        if (!run.failures().empty())
            outcome.failure = fmt::format("--replay {}: {}: {}", number, text_of(run.acts()),
                                          run.failures().front());
    });
    return outcome;
}

}  // namespace thinvol
