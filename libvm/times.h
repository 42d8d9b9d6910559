// times: points in time as users write them and as reports show them.
//
// Units       seconds since 1970; local time unless an offset is given
// Invariants  a text that leaves out hours, days or months means all of that day, month or year
// Errors      invalid_argument
// Threads     any; the process's time zone
// Source      lvmreport(7), "Time"
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace thinvol {

struct TimeRange {
    std::int64_t first;
    std::int64_t last;
};
// "@1700000000", "2026-05-01 12:30:00 +02:00", "2026-05", "today", "monday", "2 weeks 3h ago".
Result<TimeRange> parse_time(std::string_view text, std::int64_t now);
// To the second, with its offset.
std::string format_time(std::int64_t seconds);

}  // namespace thinvol
