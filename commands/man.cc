// `thinvol man PAGE`: a manual page for troff; without a name, the names of all pages.
#include "commands/invocation.h"
#include "commands/manual.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"Page", Value::text, "The page, tvs.8 or thinvol.7; all are listed unless given.", false},
};

int run(Invocation& call) {
    const std::string wanted = call.operands().empty() ? "" : call.operands().front();
    std::string names = "thinvol.7\n";
    if (wanted == "thinvol.7") {
        call.write(manual_overview());
        return exit_ok;
    }
    for (const CommandSpec* spec : all_commands()) {
        if (spec->hidden) continue;
        const std::string name = page_name(*spec) + ".8";
        names += name + "\n";
        if (name != wanted) continue;
        call.write(manual_page(*spec));
        return exit_ok;
    }
    if (!wanted.empty())
        return call.fail(Error(Errc::not_found, fmt::format("there is no page {}", wanted)));
    call.write(names);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec man_command{.name = "man",
                                  .summary = "Print manual pages for troff.",
                                  .operands = operands,
                                  .run = run,
                                  .test_mode = TestMode::harmless,
                                  .hidden = true};
static_assert(well_formed(man_command));

}  // namespace thinvol
