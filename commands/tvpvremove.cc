#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/pv_lifecycle.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"PV", Value::any_device, "Physical volume that is in no group.", true, true},
};

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const auto confirm = [&](const std::string& question) { return call.confirm(question); };
    int status = exit_ok;
    for (const std::string& operand : call.operands()) {
        const auto path = remove_pv(session, operand, confirm);
        if (path) call.say("Labels on physical volume \"{}\" successfully wiped.", *path);
        else status = call.fail(path.error());
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvpvremove{.name = "tvpvremove",
                                 .summary = "Take labels off physical volumes without a group.",
                                 .operands = operands,
                                 .run = run};
static_assert(well_formed(tvpvremove));

}  // namespace thinvol
