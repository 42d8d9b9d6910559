#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/group_settings.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Group without active volumes.", true, true},
};
constexpr std::string_view examples[] = {"tvgexport vg0"};

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const std::string& name : call.operands()) {
        const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(name));
        const auto exported = export_group(session, group);
        if (!exported) {
            status = call.fail(exported.error());
            continue;
        }
        for (const auto& warning : exported->warnings) call.warn(warning);
        call.say("Volume group \"{}\" successfully exported", name);
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvgexport{
    .name = "tvgexport",
    .summary = "Leave a volume group alone until it is imported, here or elsewhere.",
    .operands = operands,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvgexport));

}  // namespace thinvol
