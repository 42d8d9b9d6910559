// The commands of `thinvol` itself: help and version.
#include "commands/help.h"
#include "commands/invocation.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OperandSpec help_operands[] = {
    {"Command", Value::command, "Command to explain; all are listed unless given.", false},
};

int run_help(Invocation& call) {
    if (call.operands().empty()) {
        call.write(help_of_all());
        return exit_ok;
    }
    const CommandSpec* spec = find_command(call.operands().front());
    if (spec == nullptr) {
        call.fail(
            Error(Errc::not_found, fmt::format("No such command '{}'.", call.operands().front())));
        return exit_no_command;
    }
    call.write(help_of(*spec));
    return exit_ok;
}

int run_version(Invocation& call) {
    call.write(version_text());
    return exit_ok;
}

}  // namespace

constexpr CommandSpec help_command{.name = "help",
                                   .summary = "Explain a command, or list all.",
                                   .operands = help_operands,
                                   .run = run_help,
                                   .test_mode = TestMode::harmless};
static_assert(well_formed(help_command));

constexpr CommandSpec version_command{.name = "version",
                                      .summary = "Show the version.",
                                      .run = run_version,
                                      .test_mode = TestMode::harmless};
static_assert(well_formed(version_command));

}  // namespace thinvol
