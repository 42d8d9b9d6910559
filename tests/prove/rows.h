// rows: the claims that `run prove` puts to the test, each a loop over states that a fault could
// leave.
//
// Units       executed: images that were reopened, recounted and compared with what was promised,
//             or what else a row says it counts; cases: what a row is made of, each named by a
//             number, which alone repeats it
// Invariants  a row passes only if nothing failed and it executed its minimum
// Errors      in Outcome::failure, with what repeats it
// Threads     one; shards of a row are processes of their own
// Source      the numbering is that of the project's reliability scoreboard
#pragma once

#include <unistd.h>

#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>

namespace thinvol {

enum class ProofLane { quick, ci, soak };

struct Outcome {
    std::uint64_t executed = 0;
    std::unordered_set<std::uint64_t> distinct;
    std::uint64_t counted_distinct = 0;  // besides those, by a program
    std::string value = "0";             // what is held against the row's target; "0": failures
    std::string failure;                 // empty: none
    std::string skipped;                 // why nothing was tried; empty: it was
};

struct Budget {
    std::uint64_t states;  // about how many are wanted
    std::uint64_t seed;    // the first case
    ProofLane lane = ProofLane::quick;
    std::uint64_t shard = 0;  // of `shards`, which divide the cases among them
    std::uint64_t shards = 1;
    bool replay = false;  // the case `seed`, and no other
};

struct ProofRow {
    const char* id;
    const char* what;
    std::uint64_t quick;  // the minimum of each lane; 0: not in it
    std::uint64_t ci;
    Outcome (*run)(const Budget& budget);
    const char* target = "0";
    bool divisible = true;
};
std::span<const ProofRow> proof_rows();

// Where a row's process says which case it is at, for whoever finds it dead.
inline std::uint64_t* case_at_work = nullptr;

// Cases from `seed` on until enough was executed; of a row that has a `total` of them, all, but for
// the quick lane, which takes them in an order that spreads.
template <class Case>
void for_cases(const Budget& budget, std::uint64_t total, Outcome& outcome, Case&& run) {
    constexpr std::uint64_t spread = 1000003;  // a prime
    constexpr unsigned stuck = 600;            // seconds, of a case of a few
    const auto one = [&](std::uint64_t number) {
        if (case_at_work != nullptr) *case_at_work = number;
        ::alarm(stuck);
        run(number);
        ::alarm(0);
    };
    if (budget.replay) return one(budget.seed);
    for (std::uint64_t i = budget.shard; total == 0 || i < total; i += budget.shards) {
        const bool enough = outcome.executed >= budget.states;
        if (!outcome.failure.empty() || (enough && (total == 0 || budget.lane == ProofLane::quick)))
            return;
        one(total == 0 ? budget.seed + i : i * spread % total);
    }
}

Outcome power_cuts_anywhere(const Budget& budget);           // S1
Outcome torn_writes(const Budget& budget);                   // S2
Outcome power_cuts_in_recovery(const Budget& budget);        // S3
Outcome power_cuts_across_devices(const Budget& budget);     // S4
Outcome promised_writes_survive(const Budget& budget);       // S5
Outcome answered_writes_outlive(const Budget& budget);       // S5k
Outcome reorderings_of_epochs(const Budget& budget);         // S6
Outcome all_short_workloads(const Budget& budget);           // S7
Outcome nothing_stale_is_shown(const Budget& budget);        // S8
Outcome each_request_fails_once(const Budget& budget);       // S11
Outcome requests_fail_from_one_on(const Budget& budget);     // S12
Outcome failed_flushes_stay_failed(const Budget& budget);    // S13
Outcome short_transfers_go_on(const Budget& budget);         // S15
Outcome data_space_ends_anywhere(const Budget& budget);      // S16
Outcome metadata_space_ends_anywhere(const Budget& budget);  // S17
Outcome host_file_system_is_full(const Budget& budget);      // S18
Outcome freed_space_is_space(const Budget& budget);          // S19
Outcome extender_races_writer(const Budget& budget);         // S22
Outcome flipped_bits_are_found(const Budget& budget);        // S23
Outcome forged_metadata_do_no_harm(const Budget& budget);    // S24
Outcome judging_changes_nothing(const Budget& budget);       // S27
Outcome cut_off_images_are_refused(const Budget& budget);    // S28
Outcome opening_changes_nothing(const Budget& budget);       // S32
Outcome lies_are_noticed_or_listed(const Budget& budget);    // S14
Outcome snapshots_are_instants(const Budget& budget);        // S46
Outcome pairs_in_all_orders(const Budget& budget);           // S47
Outcome everybody_gets_on(const Budget& budget);             // S48
Outcome commands_are_whole(const Budget& budget);            // S33
Outcome catalog_files_fail(const Budget& budget);            // S34
Outcome commands_survive_kills(const Budget& budget);        // S33c
Outcome servers_survive_kills(const Budget& budget);         // S33s
Outcome commands_survive_signals(const Budget& budget);      // S35

}  // namespace thinvol
