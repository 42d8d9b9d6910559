#include "commands/display.h"

#include <algorithm>
#include <filesystem>

#include "libvm/sizes.h"
#include "libvm/times.h"

namespace thinvol {
namespace {

std::string shown(const DisplayLine& line, const Cell& cell) {
    if (line.field == "lv_active")
        return std::holds_alternative<std::monostate>(cell) ? "NOT available" : "available";
    if (const auto* s = std::get_if<std::string>(&cell)) return *s;
    if (const auto* n = std::get_if<std::int64_t>(&cell)) return std::to_string(*n);
    if (const auto* b = std::get_if<Bytes>(&cell)) return format_size_long(*b);
    if (const auto* t = std::get_if<Time>(&cell)) return format_time(t->seconds);
    if (const auto* p = std::get_if<Percent>(&cell)) return format_percent(p->part, p->whole) + "%";
    return "";
}

// Keeps the rows whose first cell is one of these paths.
Result<> keep_named(ReportTable& table, const std::vector<std::string>& operands,
                    std::vector<Error>& errors) {
    std::vector<std::string> wanted;
    const auto path_of = [](const auto& row) { return std::get<std::string>(row.front()); };
    for (const std::string& operand : operands) {
        std::error_code ignored;
        wanted.push_back(std::filesystem::weakly_canonical(operand, ignored).string());
        if (std::ranges::find(table.rows, wanted.back(), path_of) == table.rows.end())
            errors.emplace_back(Errc::not_found,
                                fmt::format("Failed to find physical volume \"{}\".", operand));
    }
    std::erase_if(table.rows, [&](const auto& row) {
        return std::ranges::find(wanted, path_of(row)) == wanted.end();
    });
    return {};
}

}  // namespace

int run_display(Invocation& call, ReportKind kind, std::string_view title,
                std::span<const DisplayLine> lines) {
    ReportRequest request;
    request.kind = kind;
    for (const DisplayLine& line : lines) request.fields.emplace_back(line.field);
    for (const auto& name : default_sort(kind)) request.sort.emplace_back(name, false);
    const bool by_path = kind == ReportKind::physical_volumes;
    if (!by_path) {
        for (const std::string& operand : call.operands())
            request.objects.push_back(TRY_OR_FAIL(call, parse_reference(operand)));
    }
    Report report = TRY_OR_FAIL(call, make_report(call.environment(), request));
    if (by_path && !call.operands().empty())
        TRY_OR_FAIL(call, keep_named(report.table, call.operands(), report.errors));
    for (const auto& row : report.table.rows) {
        call.write(fmt::format("  --- {} ---\n", title));
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string text = shown(lines[i], row[i]);
            if (!text.empty()) call.write(fmt::format("  {:<24}{}\n", lines[i].label, text));
        }
        call.write("\n");
    }
    for (const Error& error : report.errors) call.fail(error);
    return report.errors.empty() ? exit_ok : exit_failed;
}

}  // namespace thinvol
