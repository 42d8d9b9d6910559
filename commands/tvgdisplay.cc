#include "commands/display.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Groups; all unless given.", false, true},
};
constexpr DisplayLine lines[] = {
    {"VG Name", "vg_name"},        {"Attributes", "vg_attr"},
    {"VG UUID", "vg_uuid"},        {"VG Size", "vg_size"},
    {"PE Size", "vg_extent_size"}, {"Total PE", "vg_extent_count"},
    {"Free PE", "vg_free_count"},  {"Free Size", "vg_free"},
    {"Cur PV", "pv_count"},        {"Cur LV", "lv_count"},
    {"Snapshots", "snap_count"},   {"Metadata Sequence No", "vg_seqno"},
};

int run(Invocation& call) { return run_display(call, ReportKind::groups, "Volume group", lines); }

}  // namespace

constexpr CommandSpec tvgdisplay{.name = "tvgdisplay",
                                 .summary = "Show volume groups in detail.",
                                 .operands = operands,
                                 .run = run,
                                 .test_mode = TestMode::harmless};
static_assert(well_formed(tvgdisplay));

}  // namespace thinvol
