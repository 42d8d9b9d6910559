// report_format: a report's table as columns, or as JSON in LVM's shape.
//
// Units       sizes as Units say; in json_std they are strings too, as LVM has it
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
    std::string separator;  // empty: aligned columns
};
// Local time, to the second, with its offset.
std::string format_time(std::int64_t seconds);
std::string format_report(const ReportTable& table, const FormatOptions& options);

}  // namespace thinvol
