// The command behind shell completion: `thinvol complete INDEX WORD...`. Prints a candidate a line,
// behind a tab what it means; before them lines that begin with a colon: ":files" where file names
// fit, ":more" where no space is to follow.
#include <charconv>

#include "commands/completion.h"
#include "commands/invocation.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"Index", Value::text, "The word the cursor is in, counted from 0."},
    {"Word", Value::text, "The words of the command line.", true, true},
};

int run(Invocation& call) {
    const std::string& text = call.operands().front();
    std::size_t at = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), at);
    constexpr std::size_t longest_line = 10000;
    if (error != std::errc() || end != text.data() + text.size() || at > longest_line)
        return call.usage("The index is not a number.");
    const Completion found =
        complete(call.environment(), {call.operands().begin() + 1, call.operands().end()}, at);
    std::string out;
    if (found.files) out += ":files\n";
    if (found.more_follows) out += ":more\n";
    for (const Candidate& c : found.candidates)
        out += c.word + (c.help.empty() ? "" : "\t") + c.help + "\n";
    call.write(out);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec complete_command{.name = "complete",
                                       .summary = "Answer a shell that completes a command line.",
                                       .operands = operands,
                                       .run = run,
                                       .test_mode = TestMode::harmless,
                                       .hidden = true};
static_assert(well_formed(complete_command));

}  // namespace thinvol
