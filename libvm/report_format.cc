#include "libvm/report_format.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>

#include <nlohmann/json.hpp>

namespace thinvol {
namespace {

std::string text_of(const Cell& cell, const Units& units) {
    if (const auto* s = std::get_if<std::string>(&cell)) return *s;
    if (const auto* n = std::get_if<std::int64_t>(&cell)) return std::to_string(*n);
    if (const auto* b = std::get_if<Bytes>(&cell)) return format_size(*b, units);
    if (const auto* p = std::get_if<Percent>(&cell)) return format_percent(p->part, p->whole);
    if (const auto* l = std::get_if<std::vector<std::string>>(&cell))
        return fmt::format("{}", fmt::join(*l, ","));
    return "";
}

bool right_aligned(FieldKind kind) {
    return kind == FieldKind::number || kind == FieldKind::size || kind == FieldKind::percent;
}

std::string columns(const ReportTable& table, const FormatOptions& options) {
    std::vector<std::vector<std::string>> lines;
    if (options.headings && !table.rows.empty()) {
        auto& heading = lines.emplace_back();
        for (const FieldInfo& c : table.columns) heading.emplace_back(c.heading);
    }
    for (const auto& row : table.rows) {
        auto& line = lines.emplace_back();
        for (const Cell& cell : row) line.push_back(text_of(cell, options.units));
    }
    std::vector<std::size_t> widths(table.columns.size(), 0);
    for (const auto& line : lines) {
        for (std::size_t c = 0; c < line.size(); ++c)
            widths[c] = std::max(widths[c], line[c].size());
    }
    std::string text;
    for (const auto& line : lines) {
        text += "  ";
        for (std::size_t c = 0; c < line.size(); ++c) {
            if (c > 0) text += options.separator.empty() ? " " : options.separator;
            if (!options.separator.empty()) text += line[c];
            else if (right_aligned(table.columns[c].kind))
                text += fmt::format("{:>{}}", line[c], widths[c]);
            else text += fmt::format("{:<{}}", line[c], widths[c]);
        }
        text += '\n';
    }
    return text;
}

std::string quoted(const std::string& s) {
    return nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_value(const FieldInfo& column, const Cell& cell, const FormatOptions& options) {
    if (options.format == ReportFormat::json || column.kind == FieldKind::text)
        return quoted(text_of(cell, options.units));
    if (const auto* list = std::get_if<std::vector<std::string>>(&cell)) {
        std::vector<std::string> items;
        for (const auto& s : *list) items.push_back(quoted(s));
        return fmt::format("[{}]", fmt::join(items, ","));
    }
    if (column.kind == FieldKind::list) return "[]";
    if (std::holds_alternative<std::monostate>(cell))
        return column.kind == FieldKind::size ? "\"\"" : "null";
    return column.kind == FieldKind::size ? quoted(text_of(cell, options.units))
                                          : text_of(cell, options.units);
}

// Byte for byte the layout that LVM prints, which scripts without a JSON parser read.
std::string json(const ReportTable& table, const FormatOptions& options) {
    std::string text = fmt::format(
        "  {{\n      \"report\": [\n          {{\n              \"{}\": [\n", table.array_name);
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
        std::vector<std::string> members;
        for (std::size_t c = 0; c < table.columns.size(); ++c) {
            members.push_back(fmt::format("\"{}\":{}", table.columns[c].name,
                                          json_value(table.columns[c], table.rows[r][c], options)));
        }
        text += fmt::format("                  {{{}}}{}\n", fmt::join(members, ", "),
                            r + 1 < table.rows.size() ? "," : "");
    }
    return text + "              ]\n          }\n      ]\n  }\n";
}

}  // namespace

std::string format_report(const ReportTable& table, const FormatOptions& options) {
    return options.format == ReportFormat::basic ? columns(table, options) : json(table, options);
}

std::string format_time(std::int64_t seconds) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm local{};
    ::localtime_r(&time, &local);
    return fmt::format("{:%Y-%m-%d %H:%M:%S %z}", local);
}

}  // namespace thinvol
