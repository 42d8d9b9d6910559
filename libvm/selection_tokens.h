// SelectionTokens: the text of a selection, taken apart from the front.
//
// Units       characters, counted from 1 where a user is told
// Invariants  (1) each call skips blanks, then takes what it is named for, or nothing
//             (2) a value without quotes ends at a blank, a comma, #, &&, || or a parenthesis that
//                 it did not open
// Errors      invalid_argument, with the place
// Threads     any; values
// Source      lvmreport(7), "Selection"
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

enum class Operator {
    equal,
    differs,
    less,
    less_equal,
    greater,
    greater_equal,
    matches,
    matches_not
};

struct ListWanted {
    std::vector<std::string> items;
    bool exact = false;  // these and no others
    bool any = false;    // one of them
};

class SelectionTokens {
public:
    explicit SelectionTokens(std::string_view text) : text_(text) {}

    bool at_end();
    std::size_t place() const { return at_ + 1; }
    std::string rest() const;  // the beginning of it

    bool take(char c);
    bool take_or();   // "||" or "#"
    bool take_and();  // "&&" or ","
    Result<std::string> name();
    Result<Operator> comparator(std::string_view field);
    Result<std::string> value();  // may be empty
    Result<std::string> regex();  // one without quotes may have | and commas within parentheses
    // "a", "[a, b]", "{a && b}", "{a || b}"
    Result<ListWanted> list();

private:
    bool take(std::string_view word);
    bool ends_value() const;
    void skip_blanks();
    Error at(std::string_view why) const;
    Result<std::string> quoted(char quote);

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace thinvol
