// run_end: what is left when a run is over: the devices as they are, and as a power cut leaves
// them.
//
// Units       as Outcome's
// Invariants  none
// Errors      in the run's failures()
// Threads     one
// Source      none
#pragma once

#include "tests/prove/rows.h"
#include "tests/support/sim_run.h"

namespace thinvol {

inline void judge_end(SimRun& run, std::uint64_t seed, Outcome& outcome) {
    Random random(seed);
    CrashImages crash(run.trace(), run.initial_images());
    while (!crash.at_end()) crash.step();
    for (const CrashPolicy policy : {CrashPolicy::none, CrashPolicy::random, CrashPolicy::all}) {
        if (!run.failures().empty()) return;
        crash.with(crash.choose(policy, random),
                   [&](CrashImages::Images& images, std::uint64_t identity) {
                       ++outcome.executed;
                       if (outcome.distinct.insert(identity).second || policy == CrashPolicy::none)
                           run.look_at_cut(images, crash.position());
                   });
    }
}

}  // namespace thinvol
