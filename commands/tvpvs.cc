#include "commands/report_command.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {REPORT_OPTIONS};
constexpr OperandSpec operands[] = {
    {"PV", Value::physical_volume, "Physical volumes; all unless given.", false, true},
};

int run(Invocation& call) { return run_report(call, ReportKind::physical_volumes, false); }

}  // namespace

constexpr CommandSpec tvpvs{.name = "tvpvs",
                            .summary = "Report physical volumes.",
                            .options = options,
                            .operands = operands,
                            .run = run,
                            .test_mode = TestMode::harmless};
static_assert(well_formed(tvpvs));

}  // namespace thinvol
