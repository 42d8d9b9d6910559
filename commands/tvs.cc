#include "commands/report_command.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    REPORT_OPTIONS,
    {"all", 'a', Value::none, "Hidden volumes too."},
    {"segments", 0, Value::none, "A line for each segment."},
    {"tree", 0, Value::none, "Volumes below their pools, snapshots below their origins."},
};
constexpr Conflict conflicts[] = {
    {"tree", "reportformat"}, {"tree", "rows"}, {"tree", "segments"}, {"tree", "sort"}};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV|@Tag", Value::group_or_volume, "Groups or volumes; all unless given.", false, true},
};
constexpr std::string_view examples[] = {"tvs -o +uri,thin_id", "tvs --noheadings -o uri vg0/root",
                                         "tvs --reportformat json",
                                         "tvs --tree -o lv_name,lv_size,lv_time",
                                         "tvs -o +lv_exclusive,selected_freed -S 'lv_time until "
                                         "\"2 weeks ago\" && lv_role=thinsnapshot'"};

int run(Invocation& call) { return run_report(call, ReportKind::volumes); }

}  // namespace

constexpr CommandSpec tvs{.name = "tvs",
                          .summary = "Report thin volumes and pools.",
                          .options = options,
                          .operands = operands,
                          .conflicts = conflicts,
                          .examples = examples,
                          .run = run,
                          .test_mode = TestMode::harmless};
static_assert(well_formed(tvs));

}  // namespace thinvol
