// report_command: what tvs, tvgs and tvpvs have in common: their options, and how a report is asked
// for and shown.
//
// Units       none
// Invariants  stdout holds the report and nothing else
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvs(8)
#pragma once

#include "commands/invocation.h"
#include "commands/select.h"
#include "libvm/report.h"

namespace thinvol {

#define REPORT_OPTIONS                                                                          \
    {"options", 'o', Value::fields,                                                             \
     "Fields to show; +Field adds to the usual ones, -Field leaves out, #Field drops it where " \
     "it is empty; help lists all.",                                                            \
     true},                                                                                     \
        {"sort", 'O', Value::sort_fields, "Fields to sort by; -Field sorts downwards."},        \
        SELECT_OPTION, {"noheadings", 0, Value::none, "No line of headings."},                  \
        {"nosuffix", 0, Value::none, "No unit letters behind sizes."},                          \
        {"units", 0, Value::units, "Units of sizes."},                                          \
        {"separator", 0, Value::separator,                                                      \
         "What stands between columns; they are not aligned then."},                            \
        {"nameprefixes", 0, Value::none, "LVM2_FIELD='value' in place of columns."},            \
        {"unquoted", 0, Value::none, "No quotes around the values of --nameprefixes."},         \
        {"rows", 0, Value::none, "A line for each field, not for each object."},                \
        {"binary", 0, Value::none, "Flags as 1, 0 and -1 (unknown)."},                          \
        {"reportformat", 0, Value::report_format, "Columns or JSON."}

// `objects`: the groups, volumes or, of tvpvs, files the report is limited to.
int run_report(Invocation& call, ReportKind kind);

}  // namespace thinvol
