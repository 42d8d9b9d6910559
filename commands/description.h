// description: what there is to know of a command beyond its options: for --longhelp and manual
// pages.
//
// Units       none
// Invariants  every command that is not hidden has one
// Errors      none
// Threads     any; constants
// Source      none
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "commands/command_spec.h"

namespace thinvol {

// Paragraphs, divided by empty lines; empty: none.
std::string_view description_of(const CommandSpec& spec);
// thinvol(7): "= Section" in a line of its own, paragraphs, and examples that begin with four
// blanks, divided by empty lines. Behind "= Commands" they are listed.
std::string_view overview_text();
// The commands that have one, sorted.
std::span<const std::pair<std::string_view, std::string_view>> all_descriptions();

}  // namespace thinvol
