// S47: pairs of acts that get in each other's way, in every order of their steps that a scheduler
// makes with two pre-emptions; the quick lane with one, a soak sometimes with three.
#include <fmt/format.h>

#include <map>

#include "tests/prove/rows.h"
#include "tests/support/interleaving.h"

namespace thinvol {
namespace {

using enum Act::Kind;
constexpr std::uint64_t block = 128;  // sectors
constexpr std::uint8_t by_pool = 0;
constexpr std::uint8_t by_lane = 1;

struct Pair {
    const char* name;
    Workload workload;
    std::vector<Act> before;  // one after the other
    std::vector<Act> acts;
};

Act io(Act::Kind kind, std::uint64_t at, std::uint64_t n, std::uint8_t way = by_pool,
       std::uint32_t who = 0) {
    return {.kind = kind, .who = who, .at = at, .n = n, .way = way};
}
Act fua(std::uint64_t at, std::uint64_t n, std::uint8_t way = by_pool, std::uint32_t who = 0) {
    return {.kind = write, .who = who, .at = at, .n = n, .fua = true, .way = way};
}
constexpr Act flush_it{.kind = flush, .way = by_pool};
constexpr Act commit_it{.kind = commit};

// Two blocks with data, known to the lane.
std::vector<Act> two_blocks(std::vector<Act> more = {}) {
    std::vector<Act> acts{
        io(write, 0, 2 * block), {.kind = settle, .flag = true}, io(read, 0, 2 * block, by_lane)};
    acts.insert(acts.end(), more.begin(), more.end());
    return acts;
}

constexpr Workload roomy{.name = "roomy",
                         .data_blocks = 8,
                         .volume_blocks = 4,
                         .metadata_blocks = 128,
                         .most_in_flight = 16,
                         .lanes = 1};
constexpr Workload sized(std::uint64_t data_blocks) {
    Workload workload = roomy;
    workload.data_blocks = data_blocks;
    workload.waits_for_space = true;
    return workload;
}

std::vector<Pair> of_discards_and_snapshots() {
    const Act snap{.kind = snapshot};
    const Act drop{.kind = remove, .who = 1};
    const Act discard_one = io(discard, 0, block);
    return {
        {"discard / provision",
         sized(3),
         two_blocks(),
         {discard_one, commit_it, io(write, 2 * block, 2 * block)}},
        {"read of a block / its discard and reuse",
         sized(3),
         two_blocks(),
         {io(read, 0, block, by_lane), discard_one, commit_it, io(write, 2 * block, 2 * block)}},
        {"write to a block / its discard and reuse",
         sized(3),
         two_blocks(),
         {io(write, 8, 16, by_lane), discard_one, commit_it, io(write, 2 * block, 2 * block)}},
        {"discard / write",
         roomy,
         two_blocks(),
         {io(discard, 0, 2 * block), io(write, block - 8, 16, by_lane)}},
        {"discard / read",
         roomy,
         two_blocks(),
         {io(discard, 0, 2 * block), io(read, 0, 2 * block, by_lane)}},
        {"zeroes / read",
         roomy,
         two_blocks(),
         {io(zero, 0, 2 * block), io(read, 0, 2 * block, by_lane)}},
        {"snapshot / write of another thread",
         roomy,
         two_blocks(),
         {io(write, 0, 16, by_lane), snap, io(write, 8, 16, by_lane)}},
        {"snapshot / write of a new block",
         roomy,
         two_blocks(),
         {io(write, 3 * block - 8, 16), snap, io(write, 2 * block + 8, 16)}},
        {"snapshot / discard", roomy, two_blocks(), {discard_one, snap, io(discard, 0, 2 * block)}},
        {"snapshot / zeroes", roomy, two_blocks(), {io(zero, 0, block + 8), snap}},
        {"delete / read",
         roomy,
         two_blocks({snap, io(write, 0, 8)}),
         {drop, io(read, 0, 2 * block, by_lane)}},
        {"delete / write that breaks sharing",
         roomy,
         two_blocks({snap}),
         {drop, io(write, block - 8, 16, by_lane)}},
        {"sharing broken from both sides",
         roomy,
         two_blocks({snap}),
         {io(write, 0, 8), io(write, 8, 8, by_lane, 1)}},
    };
}

std::vector<Pair> of_commits_and_sizes() {
    const Act shrink{.kind = trim, .at = 1};
    return {
        {"shrink / write", roomy, two_blocks(), {shrink, io(write, block - 8, 16, by_lane)}},
        {"shrink / read", roomy, two_blocks(), {shrink, io(read, 0, 2 * block, by_lane)}},
        {"commit / commit", roomy, two_blocks(), {fua(2 * block, 8), fua(3 * block, 8)}},
        {"flush / flush",
         roomy,
         two_blocks(),
         {io(write, 2 * block, 8), flush_it, io(write, 3 * block, 8), flush_it}},
        {"flush / write",
         roomy,
         two_blocks(),
         {io(write, 0, 8, by_lane), flush_it, io(write, 2 * block - 8, 16)}},
        {"write / write of one new block",
         roomy,
         two_blocks(),
         {io(write, 2 * block, 16), io(write, 2 * block + 8, 16, by_lane)}},
        {"metadata snapshot / commit",
         roomy,
         two_blocks({io(write, 2 * block, 8)}),
         {{.kind = hold}, fua(3 * block, 8)}},
        {"metadata snapshot given back / commit",
         roomy,
         two_blocks({{.kind = hold}, io(write, 2 * block, 8)}),
         {{.kind = release}, fua(3 * block, 8)}},
        {"create / commit", roomy, two_blocks(), {{.kind = create}, fua(2 * block, 8)}},
        {"extend / commit", roomy, two_blocks(), {{.kind = grow_data, .n = 3}, fua(2 * block, 8)}},
        {"extend the metadata / commit",
         roomy,
         two_blocks(),
         {{.kind = grow_metadata, .n = 9}, fua(2 * block, 8)}},
        {"out of space / extend",
         sized(2),
         two_blocks(),
         {io(write, 2 * block, 8), {.kind = grow_data, .n = 2}, io(write, 3 * block, 8, by_lane)}},
        {"out of space / discard",
         sized(2),
         two_blocks(),
         {io(write, 2 * block, 8), io(discard, 0, block)}},
    };
}

std::vector<Pair> all_pairs() {
    std::vector<Pair> pairs = of_discards_and_snapshots();
    for (Pair& pair : of_commits_and_sizes()) pairs.push_back(std::move(pair));
    return pairs;
}

// What a power cut leaves now, with none and all of what is not durable.
void judge_cut(SimRun& run, CrashImages& crash) {
    Random unused(0);
    while (!crash.at_end()) crash.step();
    for (const CrashPolicy policy : {CrashPolicy::none, CrashPolicy::all}) {
        if (!run.failures().empty()) return;
        crash.with(crash.choose(policy, unused), [&](CrashImages::Images& images, std::uint64_t) {
            run.look_at_cut(images, crash.position());
        });
    }
}

// All stands still: a power cut now, if devices did not see the same before; one when all was
// flushed; the pool as it is.
void judge(SimRun& run, bool is_new) {
    CrashImages crash(run.trace(), run.initial_images());
    if (is_new) judge_cut(run, crash);
    run.play({flush_it, {.kind = flush, .who = 1, .way = by_pool}});
    run.drain();
    judge_cut(run, crash);
    if (run.failures().empty()) run.verify_live();
}

class Explorer {
public:
    // Of third pre-emptions a sample is taken, by the seed.
    Explorer(const Budget& budget, std::size_t most, Outcome& outcome)
        : outcome_(outcome), random_(budget.seed), most_(most) {}

    // All schedules that begin with the slot's first pre-emption; slot 0: those without one.
    void explore(std::size_t pair, std::uint64_t slot, std::uint64_t number) {
        pair_ = pair;
        number_ = number;
        if (slot == 0) return static_cast<void>(run({}));
        auto& first = first_[pair];
        if (first.empty()) {
            first = after({}, run({}));
            --outcome_.executed;  // slot 0 has counted it
        }
        if (first.size() >= slots)
            outcome_.failure = "there are more first pre-emptions than slots";
        if (slot <= first.size()) from({first[slot - 1]});
    }
    static constexpr std::uint64_t slots = 400;

private:
    static std::vector<Preemption> after(std::span<const Preemption> before,
                                         const std::vector<std::uint32_t>& ways) {
        std::vector<Preemption> next;
        for (std::uint32_t at = before.empty() ? 0 : before.back().decision + 1; at < ways.size();
             ++at)
            for (std::uint32_t by = 1; by < ways[at]; ++by) next.push_back({at, by});
        return next;
    }

    void from(std::vector<Preemption> preemptions) {
        const auto ways = run(preemptions);
        if (preemptions.size() >= most_) return;
        for (const Preemption& next : after(preemptions, ways)) {
            if (!outcome_.failure.empty()) return;
            if (preemptions.size() == 2 && !random_.one_in(100)) continue;
            preemptions.push_back(next);
            from(preemptions);
            preemptions.pop_back();
        }
    }

    std::vector<std::uint32_t> run(std::span<const Preemption> preemptions) {
        static const std::vector<Pair> pairs = all_pairs();
        const Pair& pair = pairs[pair_];
        SimRun run(pair.workload, 1);
        for (const Act& act : pair.before) {
            run.play({act});
            run.drain();
        }
        std::vector<std::uint32_t> ways;
        bool rests = false;
        bool is_new = false;
        {
            Interleaving steps(run, pair.acts);
            rests = steps.come_to_rest(preemptions);
            ways = steps.ways();
            is_new = outcome_.distinct.insert(steps.identity() * 64 + pair_).second;
        }
        ++outcome_.executed;
        if (rests && run.failures().empty()) judge(run, is_new);
        std::string wrong = run.failures().empty() ? "" : run.failures().front();
        if (!rests) wrong = "it does not come to rest";
        else if (run.out_of_space() > 0) wrong = "there is space, and a write was refused";
        if (!wrong.empty())
            outcome_.failure = fmt::format("--replay {}: {}, pre-empted {}: {}", number_, pair.name,
                                           text_of(preemptions), wrong);
        return ways;
    }

    Outcome& outcome_;
    Random random_;
    std::size_t most_;
    std::map<std::size_t, std::vector<Preemption>> first_;
    std::size_t pair_ = 0;
    std::uint64_t number_ = 0;
};

}  // namespace

Outcome pairs_in_all_orders(const Budget& budget) {
    const std::size_t pairs = all_pairs().size();
    const bool two = budget.lane == ProofLane::ci || budget.replay;
    const std::size_t most = budget.lane == ProofLane::soak ? 3 : two ? 2 : 1;
    Outcome outcome;
    Explorer explorer(budget, most, outcome);
    Budget all = budget;
    all.states = ~0ULL;
    for_cases(all, pairs * Explorer::slots, outcome, [&](std::uint64_t number) {
        explorer.explore(number % pairs, number / pairs, number);
    });
    return outcome;
}

}  // namespace thinvol
