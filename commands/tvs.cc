#include "commands/report_command.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    REPORT_OPTIONS,
    {"all", 'a', Value::none, "Hidden volumes too."},
};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV", Value::group_or_volume, "Groups or volumes; all unless given.", false, true},
};
constexpr std::string_view examples[] = {"tvs -o +uri,thin_id", "tvs --noheadings -o uri vg0/root",
                                         "tvs --reportformat json"};

int run(Invocation& call) { return run_report(call, ReportKind::volumes, call.has("all")); }

}  // namespace

constexpr CommandSpec tvs{.name = "tvs",
                          .summary = "Report thin volumes and pools.",
                          .options = options,
                          .operands = operands,
                          .examples = examples,
                          .run = run,
                          .test_mode = TestMode::harmless};
static_assert(well_formed(tvs));

}  // namespace thinvol
