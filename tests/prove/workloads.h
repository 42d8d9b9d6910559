// workloads: what pools go through in the rows about power, errors and space.
//
// Units       as Workload's
// Invariants  none; constants
// Errors      none
// Threads     any
// Source      the scoreboard's list of canonical workloads
#pragma once

#include <span>

#include "tests/support/sim_run.h"

namespace thinvol {

// The thirteen canonical ones first.
std::span<const Workload> canonical_workloads();
const Workload& workload_named(const char* name);
// A pool that lived for a while by one of them: its metadata and data devices at rest.
CrashImages::Images lived_pool(std::uint64_t seed);

}  // namespace thinvol
