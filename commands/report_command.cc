#include "commands/report_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
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

struct FieldsWanted {
    std::vector<std::string> shown;
    std::vector<std::string> dropped_if_empty;
};

// What "a,b,lv_all" names.
Result<std::vector<std::string>> named_fields(ReportKind kind, const std::string& list) {
    std::vector<std::string> names;
    for (const std::string& name : split(list)) {
        const auto set = field_set(kind, name);
        for (const Field* f : set) names.emplace_back(f->name);
        if (set.empty()) names.emplace_back(TRY(find_field(kind, name))->name);
    }
    return names;
}

// "-o a,b", "-o +a", "-o -a", "-o #a", mixed and repeated.
Result<FieldsWanted> fields_wanted(const Invocation& call, ReportKind kind) {
    FieldsWanted wanted{default_fields(kind, call.has("segments")), {}};
    auto& fields = wanted.shown;
    for (const std::string& text : call.values("options")) {
        const bool sign = !text.empty() && std::string_view("+-#").contains(text.front());
        const char mode = text.empty() ? '+' : sign ? text.front() : '=';
        const auto named = TRY(named_fields(kind, sign ? text.substr(1) : text));
        if (mode == '=') fields.clear();
        if (mode == '#') {
            auto& dropped = wanted.dropped_if_empty;
            const auto& all = named.empty() ? fields : named;
            dropped.insert(dropped.end(), all.begin(), all.end());
            continue;
        }
        for (const std::string& name : named) {
            if (mode == '-') std::erase(fields, name);
            else if (mode == '=' || std::find(fields.begin(), fields.end(), name) == fields.end())
                fields.push_back(name);
        }
    }
    return wanted;
}

bool is_empty(const Cell& cell) {
    if (const auto* s = std::get_if<std::string>(&cell)) return s->empty();
    if (const auto* l = std::get_if<std::vector<std::string>>(&cell)) return l->empty();
    if (const auto* f = std::get_if<Flag>(&cell)) return !f->set;
    return std::holds_alternative<std::monostate>(cell);
}

void drop_empty(ReportTable& table, const std::vector<std::string>& names) {
    for (std::size_t c = table.columns.size(); !names.empty() && c-- > 0;) {
        const bool asked =
            std::find(names.begin(), names.end(), table.columns[c]->name) != names.end();
        const bool empty = std::all_of(table.rows.begin(), table.rows.end(),
                                       [&](const auto& row) { return is_empty(row[c]); });
        if (!asked || !empty) continue;
        table.columns.erase(table.columns.begin() + static_cast<std::ptrdiff_t>(c));
        for (auto& row : table.rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(c));
    }
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
        keys.emplace_back(TRY(find_field(kind, sign ? part.substr(1) : part))->name, down);
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

Result<FormatOptions> format_wanted(const Invocation& call) {
    FormatOptions format;
    if (call.has("units")) format.units = TRY(parse_units(call.value("units")));
    format.units.suffix = !call.has("nosuffix");
    format.headings = !call.has("noheadings");
    format.separator = call.value_or("separator", "");
    format.rows = call.has("rows");
    format.name_prefixes = call.has("nameprefixes");
    format.quotes = !call.has("unquoted");
    format.binary = call.has("binary");
    const std::string shape = call.value_or("reportformat", "basic");
    format.format = shape == "json"       ? ReportFormat::json
                    : shape == "json_std" ? ReportFormat::json_std
                                          : ReportFormat::basic;
    return format;
}

// Lines are for a terminal that can show them.
ReportRequest::Tree tree_wanted(const Invocation& call) {
    if (!call.has("tree")) return ReportRequest::Tree::none;
    std::string locale;
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (locale.empty() && value != nullptr) locale = value;
    }
    const bool utf8 = locale.contains("UTF-8") || locale.contains("utf8");
    return utf8 && ::isatty(STDOUT_FILENO) != 0 ? ReportRequest::Tree::lines
                                                : ReportRequest::Tree::ascii;
}

Result<int> show(Invocation& call, ReportKind kind) {
    ReportRequest request;
    request.kind = kind;
    request.all = call.has("all");
    request.segments = call.has("segments");
    request.tree = tree_wanted(call);
    request.selection = call.value_or("select", "");
    const FieldsWanted fields = TRY(fields_wanted(call, kind));
    request.fields = fields.shown;
    request.sort = TRY(sort_wanted(call, kind));
    const FormatOptions format = TRY(format_wanted(call));
    const NamedObjects named = TRY(named_objects(call, kind));
    request.objects = named.objects;
    const bool by_path = !named.paths.empty();
    if (by_path) request.fields.insert(request.fields.begin(), "pv_name");
    Report report = TRY(make_report(call.environment(), request));
    if (named.none) report.table.rows.clear();
    if (by_path) {
        TRY(keep_paths(report.table, named.paths, report.errors, 0));
        report.table.columns.erase(report.table.columns.begin());
        for (auto& row : report.table.rows) row.erase(row.begin());
    }
    drop_empty(report.table, fields.dropped_if_empty);
    call.write(format_report(report.table, format));
    for (const Error& error : report.errors) call.fail(error);
    return report.errors.empty() ? exit_ok : exit_failed;
}

}  // namespace

int run_report(Invocation& call, ReportKind kind) {
    if (call.has("options") && call.value("options") == "help") {
        for (const Field* f : fields_of(kind))
            call.write(fmt::format("    {:<22} - {}\n", f->name, f->help));
        return exit_ok;
    }
    return TRY_OR_FAIL(call, show(call, kind));
}

}  // namespace thinvol
