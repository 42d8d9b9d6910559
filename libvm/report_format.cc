#include "libvm/report_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include <nlohmann/json.hpp>

#include "libvm/times.h"

namespace thinvol {
namespace {

std::string text_of(const Field& column, const Cell& cell, const FormatOptions& options) {
    if (const auto* s = std::get_if<std::string>(&cell)) return *s;
    if (const auto* n = std::get_if<std::int64_t>(&cell)) return std::to_string(*n);
    if (const auto* b = std::get_if<Bytes>(&cell)) return format_size(*b, options.units);
    if (const auto* p = std::get_if<Percent>(&cell)) return format_percent(p->part, p->whole);
    if (const auto* t = std::get_if<Time>(&cell)) return format_time(t->seconds);
    if (const auto* l = std::get_if<std::vector<std::string>>(&cell))
        return fmt::format("{}", fmt::join(*l, ","));
    if (const auto* f = std::get_if<Flag>(&cell)) {
        if (options.binary) return f->set ? "1" : "0";
        return f->set ? std::string(f->word) : "";
    }
    return options.binary && column.kind == FieldKind::flag ? "-1" : "";
}

bool right_aligned(FieldKind kind) {
    return kind == FieldKind::number || kind == FieldKind::size || kind == FieldKind::percent;
}

// What columns look like beside each other: characters, not bytes.
std::size_t width_of(std::string_view s) {
    return static_cast<std::size_t>(std::count_if(
        s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// LVM2_LV_NAME='root'
std::string assignment(const Field& column, const std::string& value, bool quotes) {
    std::string name = "LVM2_";
    for (const char c : column.name)
        name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (!quotes) return fmt::format("{}={}", name, value);
    std::string escaped;
    for (const char c : value) {
        if (c == '\'') escaped += "'\\''";
        else escaped += c;
    }
    return fmt::format("{}='{}'", name, escaped);
}

using Lines = std::vector<std::vector<std::string>>;

// A line for each field, with the value of each row.
Lines transposed(const Lines& lines, std::size_t columns) {
    Lines turned(lines.empty() ? 0 : columns);
    for (const auto& line : lines) {
        for (std::size_t c = 0; c < line.size(); ++c) turned[c].push_back(line[c]);
    }
    return turned;
}

void append_padded(std::string& text, const std::string& cell, std::size_t width, bool right) {
    const std::size_t blanks = width - std::min(width, width_of(cell));
    if (right) text.append(blanks, ' ');
    text += cell;
    if (!right) text.append(blanks, ' ');
}

std::string columns(const ReportTable& table, const FormatOptions& options) {
    Lines lines;
    lines.reserve(table.rows.size() + 1);
    if (options.headings && !options.name_prefixes && !table.rows.empty()) {
        auto& heading = lines.emplace_back();
        for (const Field* c : table.columns) heading.emplace_back(c->heading);
    }
    for (const auto& row : table.rows) {
        auto& line = lines.emplace_back();
        line.reserve(row.size());
        for (std::size_t c = 0; c < row.size(); ++c) {
            const Field& column = *table.columns[c];
            line.push_back(text_of(column, row[c], options));
            if (options.name_prefixes)
                line.back() = assignment(column, line.back(), options.quotes);
        }
    }
    if (options.rows) lines = transposed(lines, table.columns.size());
    std::vector<std::size_t> widths(lines.empty() ? 0 : lines.front().size(), 0);
    for (const auto& line : lines) {
        for (std::size_t c = 0; c < line.size(); ++c)
            widths[c] = std::max(widths[c], width_of(line[c]));
    }
    const bool aligned = options.separator.empty() && !options.name_prefixes;
    std::string text;
    for (const auto& line : lines) {
        text += "  ";
        for (std::size_t c = 0; c < line.size(); ++c) {
            if (c > 0) text += options.separator.empty() ? " " : options.separator;
            if (!aligned) text += line[c];
            else
                append_padded(text, line[c], widths[c],
                              !options.rows && right_aligned(table.columns[c]->kind));
        }
        text += '\n';
    }
    return text;
}

std::string quoted(const std::string& s) {
    return nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_value(const Field& column, const Cell& cell, const FormatOptions& options) {
    const std::string text = text_of(column, cell, options);
    if (options.format == ReportFormat::json) return quoted(text);
    switch (column.kind) {
        case FieldKind::text:
        case FieldKind::time: return quoted(text);
        case FieldKind::list: break;
        case FieldKind::size: {
            const auto* size = std::get_if<Bytes>(&cell);
            return size == nullptr ? "null" : std::to_string(size->n);
        }
        case FieldKind::flag: {
            const auto* flag = std::get_if<Flag>(&cell);
            return flag == nullptr ? "null" : flag->set ? "1" : "0";
        }
        case FieldKind::number:
        case FieldKind::percent: return text.empty() ? "null" : text;
    }
    std::vector<std::string> items;
    if (const auto* list = std::get_if<std::vector<std::string>>(&cell)) {
        for (const auto& s : *list) items.push_back(quoted(s));
    }
    return fmt::format("[{}]", fmt::join(items, ","));
}

// Byte for byte the layout that LVM prints, which scripts without a JSON parser read.
std::string json(const ReportTable& table, const FormatOptions& options) {
    std::string text = fmt::format(
        "  {{\n      \"report\": [\n          {{\n              \"{}\": [\n", table.array_name);
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
        std::vector<std::string> members;
        for (std::size_t c = 0; c < table.columns.size(); ++c) {
            members.push_back(
                fmt::format("\"{}\":{}", table.columns[c]->name,
                            json_value(*table.columns[c], table.rows[r][c], options)));
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

}  // namespace thinvol
