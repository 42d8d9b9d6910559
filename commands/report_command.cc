#include "commands/report_command.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "libvm/report_format.h"

namespace thinvol {
namespace {

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> parts;
    std::istringstream in(list);
    for (std::string part; std::getline(in, part, ',');) {
        if (!part.empty()) parts.push_back(part);
    }
    return parts;
}

std::vector<std::string> all_fields(ReportKind kind) {
    std::vector<std::string> names;
    for (const FieldInfo& f : fields_of(kind)) names.emplace_back(f.name);
    return names;
}

// "-o a,b", "-o +a", "-o -a", mixed and repeated.
Result<std::vector<std::string>> fields_wanted(const Invocation& call, ReportKind kind) {
    std::vector<std::string> fields = default_fields(kind);
    for (const std::string& text : call.values("options")) {
        const char mode = text.empty()                                 ? '+'
                          : text.front() == '+' || text.front() == '-' ? text.front()
                                                                       : '=';
        std::vector<std::string> named;
        for (const std::string& name : split(mode == '=' ? text : text.substr(1))) {
            if (name == "all" || name.ends_with("_all")) {
                const auto all = all_fields(kind);
                named.insert(named.end(), all.begin(), all.end());
            } else {
                named.emplace_back(TRY(find_field(kind, name)).name);
            }
        }
        if (mode == '=') fields.clear();
        for (const std::string& name : named) {
            if (mode == '-') std::erase(fields, name);
            else if (mode == '=' || std::find(fields.begin(), fields.end(), name) == fields.end())
                fields.push_back(name);
        }
    }
    return fields;
}

Result<std::vector<std::pair<std::string, bool>>> sort_wanted(const Invocation& call,
                                                              ReportKind kind) {
    std::vector<std::pair<std::string, bool>> keys;
    if (!call.has("sort")) {
        for (const std::string& name : default_sort(kind)) keys.emplace_back(name, false);
        return keys;
    }
    for (const std::string& part : split(call.value("sort"))) {
        const bool down = part.front() == '-';
        const bool sign = down || part.front() == '+';
        keys.emplace_back(TRY(find_field(kind, sign ? part.substr(1) : part)).name, down);
    }
    return keys;
}

// The group that a physical volume's path belongs to is found in the report itself.
Result<> keep_paths(ReportTable& table, const std::vector<std::string>& paths,
                    std::vector<Error>& errors, std::size_t name_column) {
    std::vector<std::string> wanted;
    for (const std::string& path : paths) {
        std::error_code ignored;
        wanted.push_back(std::filesystem::weakly_canonical(path, ignored).string());
        const bool found = std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
            return std::get<std::string>(row[name_column]) == wanted.back();
        });
        if (!found)
            errors.emplace_back(Errc::not_found,
                                fmt::format("Failed to find physical volume \"{}\".", path));
    }
    std::erase_if(table.rows, [&](const auto& row) {
        return std::find(wanted.begin(), wanted.end(), std::get<std::string>(row[name_column])) ==
               wanted.end();
    });
    return {};
}

Result<int> show(Invocation& call, ReportKind kind, bool all) {
    ReportRequest request;
    request.kind = kind;
    request.all = all;
    request.fields = TRY(fields_wanted(call, kind));
    request.sort = TRY(sort_wanted(call, kind));
    FormatOptions format;
    if (call.has("units")) format.units = TRY(parse_units(call.value("units")));
    format.units.suffix = !call.has("nosuffix");
    format.headings = !call.has("noheadings");
    format.separator = call.value_or("separator", "");
    const std::string shape = call.value_or("reportformat", "basic");
    format.format = shape == "json"       ? ReportFormat::json
                    : shape == "json_std" ? ReportFormat::json_std
                                          : ReportFormat::basic;
    const bool by_path = kind == ReportKind::physical_volumes && !call.operands().empty();
    if (by_path) request.fields.insert(request.fields.begin(), "pv_name");
    else
        for (const std::string& operand : call.operands())
            request.objects.push_back(TRY(parse_reference(operand)));
    Report report = TRY(make_report(call.environment(), request));
    if (by_path) {
        TRY(keep_paths(report.table, call.operands(), report.errors, 0));
        report.table.columns.erase(report.table.columns.begin());
        for (auto& row : report.table.rows) row.erase(row.begin());
    }
    call.write(format_report(report.table, format));
    for (const Error& error : report.errors) call.fail(error);
    return report.errors.empty() ? exit_ok : exit_failed;
}

}  // namespace

int run_report(Invocation& call, ReportKind kind, bool all) {
    if (call.has("options") && call.value("options") == "help") {
        for (const FieldInfo& f : fields_of(kind))
            call.write(fmt::format("    {:<22} - {}\n", f.name, f.help));
        return exit_ok;
    }
    return TRY_OR_FAIL(call, show(call, kind, all));
}

}  // namespace thinvol
