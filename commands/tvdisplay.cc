#include "commands/display.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG|VG/LV", Value::group_or_volume, "Groups or volumes; all unless given.", false, true},
};

constexpr DisplayLine lines[] = {
    {"LV Name", "lv_name"},
    {"VG Name", "vg_name"},
    {"LV UUID", "lv_uuid"},
    {"LV Write Access", "lv_permissions"},
    {"LV Creation time", "lv_time"},
    {"LV Pool name", "pool_lv"},
    {"LV Pool metadata", "metadata_lv"},
    {"LV Pool data", "data_lv"},
    {"LV Thin origin name", "origin"},
    {"LV Status", "lv_active"},
    {"LV Lent to", "lent_to"},
    {"LV Size", "lv_size"},
    {"LV Pool metadata size", "lv_metadata_size"},
    {"Chunk size", "chunk_size"},
    {"Thin id", "thin_id"},
    {"Volumes in pool", "thin_count"},
    {"Data used", "data_percent"},
    {"Metadata used", "metadata_percent"},
    {"Health", "lv_health_status"},
    {"URI", "uri"},
};

int run(Invocation& call) {
    return run_display(call, ReportKind::volumes, "Logical volume", lines);
}

}  // namespace

constexpr CommandSpec tvdisplay{.name = "tvdisplay",
                                .summary = "Show thin volumes and pools in detail.",
                                .operands = operands,
                                .run = run,
                                .test_mode = TestMode::harmless};
static_assert(well_formed(tvdisplay));

}  // namespace thinvol
