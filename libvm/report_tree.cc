#include "libvm/report_tree.h"

namespace thinvol {
namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);
// Further down, everything is drawn as if it were as deep as that.
constexpr std::size_t deepest_drawn = 64;

struct Shapes {
    const char *fork, *last, *past, *blank;
};
constexpr Shapes in_ascii{"|- ", "`- ", "|  ", "   "};
constexpr Shapes in_lines{"\u251c\u2500 ", "\u2514\u2500 ", "\u2502  ", "   "};

// The row that each stands below, or none.
std::vector<std::size_t> parents(const std::vector<ReportRow>& rows) {
    ById<std::size_t> row_of;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (!rows[i].hidden) row_of[rows[i].lv->id] = i;
    }
    const auto find = [&](std::int64_t id) {
        const auto it = row_of.find(id);
        return it == row_of.end() ? none : it->second;
    };
    std::vector<std::size_t> parent(rows.size(), none);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const ReportRow& row = rows[i];
        if (row.thin != nullptr) {
            parent[i] = find(row.thin->origin_id);
            if (parent[i] == none) parent[i] = find(row.thin->pool_id);
        } else if (row.hidden && row.pool != nullptr) {
            parent[i] = find(row.pool->lv.id);
        }
    }
    return parent;
}

struct Drawn {
    std::size_t row;
    std::size_t depth;
    std::string before;  // of the rows below it
};

}  // namespace

std::vector<std::string> draw_tree(std::vector<ReportRow>& rows, bool lines) {
    const Shapes& shapes = lines ? in_lines : in_ascii;
    const auto parent = parents(rows);
    std::vector<std::vector<std::size_t>> below(rows.size());
    std::vector<Drawn> left;
    for (std::size_t i = rows.size(); i-- > 0;) {
        if (parent[i] == none) left.push_back({i, 0, ""});
        else below[parent[i]].push_back(i);  // the last one first, as from a stack
    }
    std::vector<ReportRow> ordered;
    std::vector<std::string> branches;
    while (!left.empty()) {
        const Drawn drawn = std::move(left.back());
        left.pop_back();
        ordered.push_back(rows[drawn.row]);
        const std::size_t above = parent[drawn.row];
        const bool last = above == none || below[above].front() == drawn.row;
        std::string inner = drawn.before;
        std::string& branch = branches.emplace_back(drawn.before);
        if (drawn.depth > 0) branch += last ? shapes.last : shapes.fork;
        if (drawn.depth > 0 && drawn.depth < deepest_drawn)
            inner += last ? shapes.blank : shapes.past;
        for (const std::size_t child : below[drawn.row])
            left.push_back({child, drawn.depth + 1, inner});
    }
    rows = std::move(ordered);
    return branches;
}

}  // namespace thinvol
