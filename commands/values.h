// values: the kinds of values, each with its name in help, its words, and its check.
//
// Units       none
// Invariants  one row a kind; an enumeration's words are here and nowhere else
// Errors      invalid_argument from check_value
// Threads     any; constants
// Source      none
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "commands/command_spec.h"
#include "engine/base/result.h"

namespace thinvol {

// As help shows it: "Size[bskmgtpe]".
std::string_view metavariable(Value value);
// The words of an enumeration, else none.
std::span<const std::string_view> words_of(Value value);
// What can be said of the text without looking at the catalog.
Result<> check_value(Value value, std::string_view text);

}  // namespace thinvol
