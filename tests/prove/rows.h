// rows: the claims that `run prove` puts to the test, each a loop over states that a fault could
// leave.
//
// Units       states: images that were reopened, recounted and compared with what was promised
// Invariants  a row passes only if nothing failed and it executed its minimum
// Errors      in Outcome::failure, with what repeats it
// Threads     one
// Source      the numbering is that of the project's reliability scoreboard: S1, S4, S5, S8, S13,
//             S33 (c, s: as processes), S35, S46
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>

namespace thinvol {

struct Outcome {
    std::uint64_t executed = 0;
    std::unordered_set<std::uint64_t> distinct;
    std::string failure;  // empty: none
};

struct Budget {
    std::uint64_t states;  // about how many
    std::uint64_t seed;
};

struct ProofRow {
    const char* id;
    const char* what;
    std::uint64_t minimum;
    Outcome (*run)(const Budget& budget);
    std::uint64_t quick_minimum = 0;  // of --quick; 0: the same
};
std::span<const ProofRow> proof_rows();

Outcome power_cuts_anywhere(const Budget& budget);         // S1
Outcome power_cuts_across_devices(const Budget& budget);   // S4
Outcome promised_writes_survive(const Budget& budget);     // S5
Outcome nothing_stale_is_shown(const Budget& budget);      // S8
Outcome failed_flushes_stay_failed(const Budget& budget);  // S13
Outcome snapshots_are_instants(const Budget& budget);      // S46
Outcome commands_are_whole(const Budget& budget);          // S33
Outcome commands_survive_kills(const Budget& budget);      // S33c
Outcome servers_survive_kills(const Budget& budget);       // S33s
Outcome commands_survive_signals(const Budget& budget);    // S35

}  // namespace thinvol
