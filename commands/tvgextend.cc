#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/groups.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Volume group."},
    {"PV", Value::any_device, "File or block device to add.", true, true},
};

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(call.operands().front()));
    const std::vector<std::string> paths(call.operands().begin() + 1, call.operands().end());
    const auto result = TRY_OR_FAIL(
        call,
        extend_group(session, group, paths, [&](const std::string& q) { return call.confirm(q); }));
    for (const auto& path : result.prepared)
        call.say("Physical volume \"{}\" successfully created.", path);
    for (const auto& warning : result.warnings) call.warn(warning);
    call.say("Volume group \"{}\" successfully extended", group.name);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgextend{.name = "tvgextend",
                                .summary = "Add physical volumes to a volume group.",
                                .operands = operands,
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgextend));

}  // namespace thinvol
