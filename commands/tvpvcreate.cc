#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/pv_lifecycle.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"PV", Value::any_device, "File or block device to label.", true, true},
};
constexpr std::string_view examples[] = {"tvpvcreate pv0.img && tvgcreate vg0 pv0.img"};

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const auto confirm = [&](const std::string& question) { return call.confirm(question); };
    for (const std::string& path : TRY_OR_FAIL(call, create_pvs(session, call.operands(), confirm)))
        call.say("Physical volume \"{}\" successfully created.", path);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvpvcreate{.name = "tvpvcreate",
                                 .summary = "Label files or devices as physical volumes.",
                                 .operands = operands,
                                 .examples = examples,
                                 .run = run};
static_assert(well_formed(tvpvcreate));

}  // namespace thinvol
