#include "commands/report_command.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {REPORT_OPTIONS};
constexpr OperandSpec operands[] = {
    {"VG|@Tag", Value::group, "Groups; all unless given.", false, true},
};

int run(Invocation& call) { return run_report(call, ReportKind::groups); }

}  // namespace

constexpr CommandSpec tvgs{.name = "tvgs",
                           .summary = "Report volume groups.",
                           .options = options,
                           .operands = operands,
                           .run = run,
                           .test_mode = TestMode::harmless};
static_assert(well_formed(tvgs));

}  // namespace thinvol
