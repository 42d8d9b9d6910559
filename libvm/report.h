// report: what tvs, tvgs and tvpvs show: the rows that are selected, sorted, with the fields asked
// for.
//
// Units       said by each field's kind
// Invariants  (1) only what the fields asked for need is collected (report_rows.h)
// Errors      not_found: a group or a volume that does not exist
// Threads     one
// Source      lvs(8), vgs(8), pvs(8)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libvm/environment.h"
#include "libvm/names.h"
#include "libvm/report_fields.h"

namespace thinvol {

struct ReportRequest {
    ReportKind kind = ReportKind::volumes;
    std::vector<std::string> fields;                 // full names
    std::vector<std::pair<std::string, bool>> sort;  // field, descending
    bool all = false;                                // hidden volumes too
    bool segments = false;                           // a row for each, also where no field asks
    std::vector<Reference> objects;                  // empty: everything
    std::string selection;                           // selection.h; empty: every row
    enum class Tree { none, ascii, lines } tree = Tree::none;  // volumes below their origins
};
struct ReportTable {
    std::vector<const Field*> columns;
    std::vector<std::vector<Cell>> rows;
    std::string_view array_name;  // "lv", "vg", "pv", "seg", "pvseg" in JSON
};
// Objects that were not found, or could not be asked, are in `errors`; the others are in the table.
struct Report {
    ReportTable table;
    std::vector<Error> errors;
};
Result<Report> make_report(const Environment& environment, const ReportRequest& request);

struct SelectedObject {
    Reference name;
    bool is_pool = false;
};
// The volumes or groups that a selection means, among `objects` or all; volumes before pools. For
// commands that change things: an object that is not there, or cannot be asked, is an error.
Result<std::vector<SelectedObject>> select_objects(const Environment& environment, ReportKind kind,
                                                   const std::string& selection,
                                                   const std::vector<Reference>& objects);

}  // namespace thinvol
