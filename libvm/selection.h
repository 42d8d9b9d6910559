// Selection: which rows of a report a user means: LVM's selection language.
//
//     lv_name=~"^db" && (lv_size>1g || lv_tags={a,b}) && !lv_time since "2 weeks ago"
//
// Units       a size without a letter is in MiB
// Invariants  (1) a selection that parses matches without failing: its values have the kinds of
//                 their fields
//             (2) text, depth, comparisons, list items and regular expressions are bounded
//             (3) a field that is not known of a row matches nothing but "unknown"; empty text is
//                 text
// Errors      invalid_argument, with the place; not_found: no such field, with the nearest
// Threads     any; matching changes nothing
// Source      lvmreport(7), "Selection"
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "libvm/report_fields.h"

namespace thinvol {

class Selection {
public:
    // `now`: seconds since 1970, for "2 weeks ago".
    static Result<Selection> parse(std::string_view text, ReportKind kind, std::int64_t now);
    Selection(Selection&&) noexcept;
    Selection& operator=(Selection&&) noexcept;
    ~Selection();

    // The fields asked about, each once.
    const std::vector<const Field*>& fields() const;
    // `cells`: of those fields, in their order.
    bool matches(std::span<const Cell> cells) const;

private:
    struct Parts;
    explicit Selection(std::unique_ptr<const Parts> parts);
    std::unique_ptr<const Parts> parts_;
};

// The fields with their kinds, and the operators.
std::string selection_help(ReportKind kind);

}  // namespace thinvol
