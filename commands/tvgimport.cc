#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/group_settings.h"
#include "libvm/rebuild.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG", Value::name, "Exported group."},
    {"PV", Value::any_device, "Its physical volumes, where it comes from another environment.",
     false, true},
};
constexpr std::string_view examples[] = {"tvgimport vg0", "tvgimport vg0 /dev/sdb /dev/sdc"};

int run(Invocation& call) {
    const std::string& name = call.operands().front();
    const std::vector<std::string> paths(call.operands().begin() + 1, call.operands().end());
    if (!paths.empty()) {
        const auto brought = TRY_OR_FAIL(
            call, rebuild_groups(call.environment(), paths, [&](const std::string& question) {
                return call.confirm(question);
            }));
        for (const std::string& warning : brought.warnings) call.warn(warning);
    }
    Session session = TRY_OR_FAIL(call, call.session());
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(name));
    const auto imported = TRY_OR_FAIL(call, import_group(session, group));
    for (const auto& warning : imported.warnings) call.warn(warning);
    call.say("Volume group \"{}\" successfully imported", name);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgimport{
    .name = "tvgimport",
    .summary = "Take up an exported volume group, from another environment too.",
    .operands = operands,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvgimport));

}  // namespace thinvol
