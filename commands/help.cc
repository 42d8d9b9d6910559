#include "commands/help.h"

#include <fmt/format.h>

#include "commands/description.h"
#include "commands/invocation.h"
#include "commands/select.h"
#include "commands/table.h"
#include "commands/values.h"
#include "libvm/selection.h"

namespace thinvol {
namespace {

std::string option_line(const OptionSpec& o) {
    const std::string letter = o.letter == 0 ? "   " : fmt::format("-{}|", o.letter);
    const std::string name = fmt::format("{}--{}{}{}", letter, o.name,
                                         o.value == Value::none ? "" : " ", metavariable(o.value));
    if (name.size() < 38) return fmt::format("    {:<38}{}\n", name, o.help);
    return fmt::format("    {}\n    {:<38}{}\n", name, "", o.help);
}

}  // namespace

std::string help_of(const CommandSpec& spec) {
    std::string text =
        fmt::format("  {} - {}\n\n  {} [options]", spec.name, spec.summary, spec.name);
    for (const OperandSpec& o : spec.operands)
        text += fmt::format(" {}{}{}{}", o.required ? "" : "[", o.name, o.repeated ? "..." : "",
                            o.required ? "" : "]");
    if (!spec.instead_of_operands.empty())
        text += fmt::format(" | {} [options] --{} ...", spec.name, spec.instead_of_operands);
    text += '\n';
    if (!spec.operands.empty()) text += '\n';
    for (const OperandSpec& o : spec.operands)
        text += fmt::format("    {:<38}{}\n", o.name, o.help);
    text += "\n  Options:\n";
    for (const OptionSpec& o : spec.options) text += option_line(o);
    if (!spec.options.empty()) text += "\n  Common options:\n";
    for (const OptionSpec& o : common_options()) text += option_line(o);
    for (const Conflict& c : spec.conflicts)
        text += fmt::format("\n  --{} and --{} exclude each other.\n", c.one, c.other);
    if (!spec.examples.empty()) text += "\n  Examples:\n";
    for (const std::string_view example : spec.examples) text += fmt::format("    {}\n", example);
    return text;
}

std::string long_help_of(const CommandSpec& spec) {
    std::string text = help_of(spec);
    const std::string_view description = description_of(spec);
    if (!description.empty()) text += "\n  Description:\n";
    for (std::size_t at = 0; at < description.size();) {
        const std::size_t end = std::min(description.find('\n', at), description.size());
        const std::string_view line = description.substr(at, end - at);
        text += line.empty() ? "\n" : fmt::format("    {}\n", line);
        at = end + 1;
    }
    if (spec.name == "tvs" || spec.name == "tvgs" || spec.name == "tvpvs")
        text += "\n" + selection_help(selects_from(spec));
    return text;
}

std::string help_of_all() {
    std::string text = "  thinvol COMMAND [options], or each command by its own name:\n\n";
    for (const CommandSpec* spec : all_commands()) {
        if (!spec->hidden) text += fmt::format("    {:<18}{}\n", spec->name, spec->summary);
    }
    return text + "\n  COMMAND --help says more of each.\n";
}

std::string version_text() {
    return fmt::format("  thinvol version:  {}\n  metadata format:  Linux dm-thin, version 2\n",
                       THINVOL_VERSION);
}

}  // namespace thinvol
