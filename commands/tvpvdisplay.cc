#include "commands/display.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"PV", Value::physical_volume, "Physical volumes; all unless given.", false, true},
};
constexpr DisplayLine lines[] = {
    {"PV Name", "pv_name"},    {"VG Name", "vg_name"},      {"PV UUID", "pv_uuid"},
    {"Attributes", "pv_attr"}, {"Device Size", "dev_size"}, {"PV Size", "pv_size"},
    {"Free Size", "pv_free"},  {"Used Size", "pv_used"},    {"First extent at", "pe_start"},
};

int run(Invocation& call) {
    return run_display(call, ReportKind::physical_volumes, "Physical volume", lines);
}

}  // namespace

constexpr CommandSpec tvpvdisplay{.name = "tvpvdisplay",
                                  .summary = "Show physical volumes in detail.",
                                  .operands = operands,
                                  .run = run,
                                  .test_mode = TestMode::harmless};
static_assert(well_formed(tvpvdisplay));

}  // namespace thinvol
