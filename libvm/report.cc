#include "libvm/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>

#include "libvm/report_rows.h"
#include "libvm/report_tree.h"
#include "libvm/selection.h"

namespace thinvol {
namespace {

using Fields = std::vector<const Field*>;

struct Plan {
    Fields columns;
    Fields keys;
    std::optional<Selection> selection;

    unsigned needs_of_selection() const {
        return selection ? needs_of(selection->fields()) : unsigned{needs_nothing};
    }
    unsigned needs() const { return needs_of(columns) | needs_of(keys) | needs_of_selection(); }

private:
    static unsigned needs_of(const Fields& fields) {
        unsigned needs = needs_nothing;
        for (const Field* f : fields) needs |= f->needs;
        return needs;
    }
};

std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

Result<Plan> plan(const ReportRequest& request) {
    Plan p;
    for (const std::string& name : request.fields)
        p.columns.push_back(TRY(find_field(request.kind, name)));
    for (const auto& [name, descending] : request.sort)
        p.keys.push_back(TRY(find_field(request.kind, name)));
    if (!request.selection.empty())
        p.selection = TRY(Selection::parse(request.selection, request.kind, now()));
    return p;
}

std::vector<Cell> cells_of(const Fields& fields, const ReportRow& row) {
    std::vector<Cell> cells;
    cells.reserve(fields.size());
    for (const Field* f : fields) cells.push_back(f->get(row));
    return cells;
}

// --- order ---------------------------------------------------------------------------------------

// Brackets do not count in the order of names.
std::string_view without_bracket(std::string_view s) {
    return s.starts_with('[') ? s.substr(1) : s;
}

int sign(bool less, bool greater) { return less ? -1 : greater ? 1 : 0; }

int compare(const Cell& a, const Cell& b) {
    if (a.index() != b.index()) return a.index() < b.index() ? -1 : 1;
    const auto of = [&](const auto* x, auto project) {
        const auto& y = std::get<std::decay_t<decltype(*x)>>(b);
        return sign(project(*x) < project(y), project(y) < project(*x));
    };
    if (const auto* s = std::get_if<std::string>(&a))
        return without_bracket(*s).compare(without_bracket(std::get<std::string>(b)));
    if (const auto* n = std::get_if<std::int64_t>(&a)) return of(n, [](auto v) { return v; });
    if (const auto* s = std::get_if<Bytes>(&a)) return of(s, [](Bytes v) { return v.n; });
    if (const auto* f = std::get_if<Flag>(&a)) return of(f, [](Flag v) { return v.set; });
    if (const auto* t = std::get_if<Time>(&a)) return of(t, [](Time v) { return v.seconds; });
    if (const auto* p = std::get_if<Percent>(&a)) {
        const Percent& q = std::get<Percent>(b);
        const long double left =
            static_cast<long double>(p->part) * static_cast<long double>(q.whole);
        const long double right =
            static_cast<long double>(q.part) * static_cast<long double>(p->whole);
        return sign(left < right, right < left);
    }
    if (const auto* l = std::get_if<std::vector<std::string>>(&a))
        return of(l, [](const auto& v) -> const auto& { return v; });
    return 0;
}

// Rows in the order asked for; those that are equal stay as they were.
void sort_rows(std::vector<ReportRow>& rows, const Plan& p, const ReportRequest& request) {
    if (p.keys.empty()) return;
    std::vector<std::vector<Cell>> keys;
    keys.reserve(rows.size());
    for (const ReportRow& row : rows) keys.push_back(cells_of(p.keys, row));
    std::vector<std::size_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0U);
    const auto before = [&](std::size_t x, std::size_t y) {
        for (std::size_t k = 0; k < p.keys.size(); ++k) {
            const int c = compare(keys[x][k], keys[y][k]);
            if (c != 0) return (c < 0) != request.sort[k].second;
        }
        return x < y;
    };
    if (std::is_sorted(order.begin(), order.end(), before)) return;
    std::sort(order.begin(), order.end(), before);
    std::vector<ReportRow> sorted;
    sorted.reserve(rows.size());
    for (const std::size_t i : order) sorted.push_back(rows[i]);
    rows = std::move(sorted);
}

std::string_view array_name(ReportKind kind, bool segments) {
    switch (kind) {
        case ReportKind::volumes: return segments ? "seg" : "lv";
        case ReportKind::groups: return "vg";
        case ReportKind::physical_volumes: return segments ? "pvseg" : "pv";
    }
    return "";
}

// --- collecting ----------------------------------------------------------------------------------

struct Collected {
    Views views;
    std::vector<ReportRow> rows;
};

// The rows selected, with all they need.
Result<Collected> collect(const Environment& environment, const ReportRequest& request,
                          const Plan& p, std::vector<Error>& errors) {
    Collected found;
    RowsWanted wanted{request.kind, p.needs(), request.all, request.objects};
    if (request.segments) wanted.needs |= needs_segments;
    auto catalog = TRY(Catalog::open_existing(environment));
    if (catalog) {
        found.views = TRY(collect_views(*catalog, wanted, errors));
    } else {
        for (const Reference& r : request.objects)
            errors.emplace_back(Errc::not_found,
                                fmt::format("Volume group \"{}\" not found", r.group));
    }
    found.rows = rows_of(found.views, wanted, errors);
    if ((wanted.needs & needs_settings) != 0) read_config(environment, found.views, errors);
    if ((wanted.needs & needs_servers) != 0)
        ask_servers(environment, found.rows, found.views, errors);
    const unsigned early = p.needs_of_selection() & needs_exclusive;
    count_exclusive(environment, found.rows, found.views, early, errors);
    if (p.selection) {
        std::erase_if(found.rows, [&](const ReportRow& row) {
            return !p.selection->matches(cells_of(p.selection->fields(), row));
        });
    }
    count_exclusive(environment, found.rows, found.views, wanted.needs & ~early, errors);
    return found;
}

}  // namespace

Result<Report> make_report(const Environment& environment, const ReportRequest& request) {
    Report report;
    const Plan p = TRY(plan(request));
    Collected found = TRY(collect(environment, request, p, report.errors));
    sort_rows(found.rows, p, request);
    std::vector<std::string> branches;
    if (request.tree != ReportRequest::Tree::none)
        branches = draw_tree(found.rows, request.tree == ReportRequest::Tree::lines);
    report.table.columns = p.columns;
    report.table.array_name =
        array_name(request.kind, request.segments || (p.needs() & needs_segments) != 0);
    report.table.rows.reserve(found.rows.size());
    for (const ReportRow& row : found.rows) report.table.rows.push_back(cells_of(p.columns, row));
    for (std::size_t i = 0; i < branches.size(); ++i) {
        for (std::size_t c = 0; c < p.columns.size(); ++c) {
            if (p.columns[c]->name == "lv_name")
                std::get<std::string>(report.table.rows[i][c]).insert(0, branches[i]);
        }
    }
    return report;
}

Result<std::vector<SelectedObject>> select_objects(const Environment& environment, ReportKind kind,
                                                   const std::string& selection,
                                                   const std::vector<Reference>& objects) {
    if (selection.empty())
        return Error(Errc::invalid_argument, "selection: it is empty, which would mean everything");
    ReportRequest request;
    request.kind = kind;
    request.objects = objects;
    request.selection = selection;
    const Plan p = TRY(plan(request));
    std::vector<Error> errors;
    Collected found = TRY(collect(environment, request, p, errors));
    if (!errors.empty()) return std::move(errors.front());
    std::vector<SelectedObject> selected;
    for (const bool pools : {false, true}) {
        for (const ReportRow& row : found.rows) {
            if (row.hidden || (row.pool != nullptr) != pools) continue;
            selected.push_back(
                {{row.in->group.name, row.lv == nullptr ? "" : row.lv->name}, pools});
        }
    }
    return selected;
}

}  // namespace thinvol
