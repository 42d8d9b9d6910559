// report_format: a report's table as columns, or as JSON in LVM's shape.
//
// Units       sizes as Units say; in json_std they are numbers of bytes, whatever the units, where
//             LVM has strings
// Invariants  each line of columns begins with two spaces; the text ends with a newline unless it
//             is empty
// Errors      none
// Threads     any; pure
// Source      lvs(8); lvmreport(7)
#pragma once

#include <string>

#include "libvm/report.h"
#include "libvm/sizes.h"

namespace thinvol {

enum class ReportFormat { basic, json, json_std };

struct FormatOptions {
    ReportFormat format = ReportFormat::basic;
    Units units{};
    bool headings = true;
    std::string separator;       // empty: aligned columns
    bool rows = false;           // a line for each field instead of each row
    bool name_prefixes = false;  // LVM2_LV_NAME='root'
    bool quotes = true;          // around the values behind those
    bool binary = false;         // flags as 1, 0 and -1: unknown
};
std::string format_report(const ReportTable& table, const FormatOptions& options);

}  // namespace thinvol
