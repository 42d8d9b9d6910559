#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"force", 'f', Value::none, "Do not ask.", true},
};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Volume group.", true, true},
};

Result<bool> remove_one(Invocation& call, Session& session, const std::string& name) {
    const GroupRow group = TRY(session.catalog.find_group(name));
    TRY(settle_group(session, group));
    const auto pools = TRY(session.catalog.pools(group.id));
    const std::size_t volumes = pools.size() + TRY(session.catalog.thins(group.id)).size();
    const bool sure =
        call.has("force") || volumes == 0 ||
        call.confirm(fmt::format(
            "Do you really want to remove volume group \"{}\" containing {} logical volumes?", name,
            volumes));
    if (!sure) return Error(Errc::busy, fmt::format("Volume group \"{}\" not removed.", name));
    for (const PoolRow& pool : pools) {
        for (const auto& warning : TRY(remove_pool(session, group, pool)).warnings)
            call.warn(warning);
    }
    for (const auto& warning : TRY(remove_group(session, group)).warnings) call.warn(warning);
    call.say("Volume group \"{}\" successfully removed", name);
    return true;
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const std::string& name : call.operands()) {
        if (auto removed = remove_one(call, session, name); !removed)
            status = call.fail(removed.error());
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvgremove{.name = "tvgremove",
                                .summary = "Remove volume groups with all that is in them.",
                                .options = options,
                                .operands = operands,
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgremove));

}  // namespace thinvol
