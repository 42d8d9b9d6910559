// Goal: S43: every command line is understood as its declaration says, or refused before anything
//       happens; completion of any beginning of it ends.
// Method: the input's first byte chooses the command, the rest are its words, each up to a newline.
#include <sstream>

#include "commands/completion.h"
#include "commands/help.h"
#include "commands/invocation.h"
#include "commands/select.h"
#include "commands/table.h"
#include "commands/values.h"
#include "tests/fuzz/fuzz_input.h"

namespace thinvol {
namespace {

constexpr std::size_t words_max = 20;

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty() && words.size() < words_max) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        // A program's arguments end at a zero.
        words.emplace_back(text.substr(0, std::min(end, text.find('\0'))));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

void understand(const CommandSpec& spec, const std::vector<std::string>& words) {
    std::ostringstream out;
    std::ostringstream err;
    std::istringstream in;
    Invocation call(spec, {}, out, err, in);
    if (auto parsed = call.parse(words); !parsed) {
        demand(!parsed.error().text.empty(), "refused without a reason");
        demand(call.usage(parsed.error().text) == exit_usage, "another exit status");
        return;
    }
    if (call.has("help") || call.has("longhelp") || call.has("version")) return;
    for (const OptionSpec& o : spec.options) {
        for (const std::string& value : call.values(o.name))
            demand(o.value == Value::none || check_value(o.value, value).has_value(),
                   "a value that its check refuses");
    }
    for (const Conflict& c : spec.conflicts)
        demand(!call.has(c.one) || !call.has(c.other), "options that exclude each other");
    for (std::size_t i = 0; i < std::min(spec.operands.size(), call.operands().size()); ++i)
        demand(check_value(spec.operands[i].value, call.operands()[i]).has_value(),
               "an operand that its check refuses");
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    const CommandSpec& spec = *all_commands()[input.byte() % all_commands().size()];
    const std::uint8_t at = input.byte();
    auto words = words_of(input.rest());
    understand(spec, words);
    words.insert(words.begin(), std::string(spec.name));
    complete({}, words, at % (words.size() + 1));
    return 0;
}
