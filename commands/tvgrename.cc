#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/groups.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Volume group."},
    {"NewName", Value::name, "Its new name."},
};

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(call.operands()[0]));
    const auto result = TRY_OR_FAIL(call, rename_group(session, group, call.operands()[1]));
    for (const auto& warning : result.warnings) call.warn(warning);
    call.say("Volume group \"{}\" successfully renamed to \"{}\"", group.name, call.operands()[1]);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgrename{.name = "tvgrename",
                                .summary = "Rename a volume group.",
                                .operands = operands,
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgrename));

}  // namespace thinvol
