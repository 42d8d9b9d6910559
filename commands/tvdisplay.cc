#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/report.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG|VG/LV", Value::group_or_volume, "Groups or volumes; all unless given.", false, true},
};

struct Line {
    std::string_view label;
    std::string_view field;
};
constexpr Line lines[] = {
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

std::string shown(const Line& line, const Cell& cell) {
    if (line.field == "lv_active")
        return std::holds_alternative<std::monostate>(cell) ? "NOT available" : "available";
    if (const auto* s = std::get_if<std::string>(&cell)) return *s;
    if (const auto* n = std::get_if<std::int64_t>(&cell)) return std::to_string(*n);
    if (const auto* b = std::get_if<Bytes>(&cell)) return format_size_long(*b);
    if (const auto* p = std::get_if<Percent>(&cell)) return format_percent(p->part, p->whole) + "%";
    return "";
}

int run(Invocation& call) {
    ReportRequest request;
    for (const Line& line : lines) request.fields.emplace_back(line.field);
    for (const auto& name : default_sort(ReportKind::volumes))
        request.sort.emplace_back(name, false);
    for (const std::string& operand : call.operands())
        request.objects.push_back(TRY_OR_FAIL(call, parse_reference(operand)));
    const Report report = TRY_OR_FAIL(call, make_report(call.environment(), request));
    for (const auto& row : report.table.rows) {
        call.write("  --- Logical volume ---\n");
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string text = shown(lines[i], row[i]);
            if (!text.empty()) call.write(fmt::format("  {:<24}{}\n", lines[i].label, text));
        }
        call.write("\n");
    }
    for (const Error& error : report.errors) call.fail(error);
    return report.errors.empty() ? exit_ok : exit_failed;
}

}  // namespace

constexpr CommandSpec tvdisplay{.name = "tvdisplay",
                                .summary = "Show thin volumes and pools in detail.",
                                .operands = operands,
                                .run = run,
                                .test_mode = TestMode::harmless};
static_assert(well_formed(tvdisplay));

}  // namespace thinvol
