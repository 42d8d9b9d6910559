#include "commands/report_command.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    REPORT_OPTIONS,
    {"segments", 0, Value::none, "A line for each segment, free ones too."},
};
constexpr std::string_view examples[] = {"tvpvs -o +pv_used,pv_tags",
                                         "tvpvs --segments -o +lv_name"};
constexpr OperandSpec operands[] = {
    {"PV|@Tag", Value::physical_volume, "Physical volumes; all unless given.", false, true},
};

int run(Invocation& call) { return run_report(call, ReportKind::physical_volumes); }

}  // namespace

constexpr CommandSpec tvpvs{.name = "tvpvs",
                            .summary = "Report physical volumes.",
                            .options = options,
                            .operands = operands,
                            .examples = examples,
                            .run = run,
                            .test_mode = TestMode::harmless};
static_assert(well_formed(tvpvs));

}  // namespace thinvol
