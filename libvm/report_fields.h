// report_fields: each field that a report can show, select and sort by: name, heading, kind, help,
// and where it comes from.
//
// Units       said by each field's kind
// Invariants  (1) a field is declared once, in the table of what it is of
//             (2) a cell is of its field's kind, or nothing: undefined, or not known while inactive
// Errors      not_found: no such field, with the nearest
// Threads     any; constants
// Source      lvs(8), vgs(8), pvs(8), lvmreport(7)
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/units.h"

namespace thinvol {

struct Percent {
    std::uint64_t part;
    std::uint64_t whole;
};
// A yes or no that shows as a word or as nothing.
struct Flag {
    bool set;
    std::string_view word;
};
struct Time {
    std::int64_t seconds;  // since 1970
};
using Cell = std::variant<std::monostate, std::string, std::int64_t, Bytes, Percent, Flag, Time,
                          std::vector<std::string>>;
inline Cell number_cell(std::uint64_t n) { return static_cast<std::int64_t>(n); }
inline Cell text_cell(std::string_view s) { return std::string(s); }

enum class FieldKind { text, number, size, percent, list, flag, time };
std::string_view name_of(FieldKind kind);

// What has to be collected before a field can be told, besides rows of the catalog that are read
// anyway.
enum Needs : unsigned {
    needs_nothing = 0,
    needs_servers = 1,
    needs_tags = 2,
    needs_counts = 4,    // of the volumes in each pool
    needs_children = 8,  // whether a volume has snapshots, and one or several
    needs_descendants = 16,
    needs_ancestors = 32,
    needs_exclusive = 64,  // reads the pool's metadata
    needs_selected = 128,  // the same, for all rows of the report together
    needs_segments = 256,  // a row for each segment
    needs_settings = 512,
};

struct ReportRow;
struct Field {
    std::string_view name;
    std::string_view heading;
    FieldKind kind;
    std::string_view help;
    Cell (*get)(const ReportRow& row) = nullptr;
    unsigned needs = needs_nothing;
    std::span<const std::string_view> words{};  // all that it ever shows, where these are few
};

enum class ReportKind { volumes, groups, physical_volumes };

// The tables of what there is, of a kind each.
std::span<const Field> volume_fields();
std::span<const Field> segment_fields();
std::span<const Field> group_fields();
std::span<const Field> pv_fields();

// Those of a report, its own first.
const std::vector<const Field*>& fields_of(ReportKind kind);
// "lv_all", "seg_all", "vg_all", "pv_all", "all"; empty: no such set.
std::vector<const Field*> field_set(ReportKind kind, std::string_view name);
std::vector<std::string> default_fields(ReportKind kind, bool segments = false);
std::vector<std::string> default_sort(ReportKind kind);
// The field a user means: a name, or one whose lv_, vg_ or pv_ was left out.
Result<const Field*> find_field(ReportKind kind, std::string_view name);

}  // namespace thinvol
