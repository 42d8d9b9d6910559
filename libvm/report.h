// report: what tvs, tvgs and tvpvs can say of each object, field by field.
//
// Units       said by each field's kind
// Invariants  (1) a field is declared once: name, heading, kind, text for the user, and where it
//                 comes from
//             (2) rows show one state of the catalog; what servers say is asked afterwards
// Errors      not_found: a group, a volume or a field that does not exist
// Threads     one
// Source      lvs(8), vgs(8), pvs(8)
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "libvm/names.h"
#include "libvm/pool_request.h"
#include "libvm/session.h"

namespace thinvol {

// A cell. Nothing: undefined, or not known while inactive.
struct Percent {
    std::uint64_t part;
    std::uint64_t whole;
};
using Cell = std::variant<std::monostate, std::string, std::int64_t, Bytes, Percent,
                          std::vector<std::string>>;

enum class FieldKind { text, number, size, percent, list };

// Everything a row of one of the reports can be made of.
struct GroupView {
    GroupRow group;
    std::vector<PvRow> pvs;
    std::vector<SegmentRow> segments;
    std::vector<PoolRow> pools;
    std::vector<ThinRow> thins;
    std::set<std::int64_t> merged_into;  // volumes that a snapshot is to replace
    std::optional<LvRow> spare;
    std::int64_t last_change = 0;
    std::vector<std::pair<std::int64_t, PoolAnswer>> served;  // pool id -> what its server says

    const PoolAnswer* status_of(std::int64_t pool_id) const;
    const PoolRow* pool(std::int64_t id) const;
    const ThinRow* thin(std::int64_t id) const;
};
struct LvView {
    const GroupView* in = nullptr;
    const LvRow* lv = nullptr;
    const PoolRow* pool = nullptr;  // of a pool or its hidden parts
    const ThinRow* thin = nullptr;
    SegmentRole part = SegmentRole::data;
    bool hidden = false;
};
struct PvView {
    const GroupView* in = nullptr;
    const PvRow* pv = nullptr;
};

template <class Row>
struct Field {
    std::string_view name;
    std::string_view heading;
    FieldKind kind;
    std::string_view help;
    Cell (*get)(const Row& row);
};

enum class ReportKind { volumes, groups, physical_volumes };

// A report's fields, without rows: for help, completion and parsing of -o.
struct FieldInfo {
    std::string_view name;
    std::string_view heading;
    FieldKind kind;
    std::string_view help;
};
std::vector<FieldInfo> fields_of(ReportKind kind);
std::vector<std::string> default_fields(ReportKind kind);
std::vector<std::string> default_sort(ReportKind kind);
// The field a user means: a name, or one whose lv_, vg_ or pv_ was left out. The error names the
// nearest.
Result<FieldInfo> find_field(ReportKind kind, std::string_view name);

struct ReportRequest {
    ReportKind kind = ReportKind::volumes;
    std::vector<std::string> fields;                 // full names
    std::vector<std::pair<std::string, bool>> sort;  // field, descending
    bool all = false;                                // hidden volumes too
    std::vector<Reference> objects;                  // empty: everything
};
struct ReportTable {
    std::vector<FieldInfo> columns;
    std::vector<std::vector<Cell>> rows;
    std::string_view array_name;  // "lv", "vg", "pv" in JSON
};
// Objects that were not found, or could not be asked, are in `errors`; the others are in the table.
struct Report {
    ReportTable table;
    std::vector<Error> errors;
};
Result<Report> make_report(const Environment& environment, const ReportRequest& request);

}  // namespace thinvol
