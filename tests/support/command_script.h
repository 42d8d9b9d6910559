// command_script: every command that changes something, one after the other, on a SimWorld; and how
// what one of them left is judged.
//
// Units       steps, in order; each begins where the one before it ended
// Invariants  a step done twice leaves what it left when done once
// Errors      of checks: what is not as it should be
// Threads     one
// Source      none
#pragma once

#include <functional>
#include <span>
#include <string>

#include "libvm/pv_label.h"
#include "tests/support/sim_world.h"

namespace thinvol {

inline constexpr Sectors script_pv_size = pv_data_start + Sectors(512) * 40;

struct CommandStep {
    const char* name;
    std::function<Result<>(Session&)> run;
};
std::span<const CommandStep> command_script();

// What a user sees: everything but identities and numbers that a second attempt may take anew.
Result<std::string> visible_state(Session& s);
// After recovery: pools and catalog agree, nothing is pending, counts are right, the logs hold the
// catalog's rows.
Result<> check_consistency(Session& s);
// What came between `before` and `after`, which is what the step makes of it, left one of the two;
// run again, the step ends with what is after.
Result<> check_step(SimWorld& world, const CommandStep& step, const std::string& before,
                    const std::string& after, Opening opening = Opening::alone);

}  // namespace thinvol
