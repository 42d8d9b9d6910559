#include "commands/activation.h"
#include "commands/group_options.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "commands/tagging.h"
#include "libvm/reconcile.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"activate", 'a', Value::activation,
     "y: export all volumes; n: stop exporting them; ay: those that may be at boot."},
    set_autoactivation_option,
    allocation_option,
    addtag_option,
    deltag_option,
};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Groups; all unless given.", false, true},
};
constexpr std::string_view examples[] = {"tvgchange -ay vg0", "tvgchange --addtag backup vg0",
                                         "tvgchange --alloc cling vg0"};

int activate_all(Invocation& call, Session& session, const GroupRow& group) {
    TRY_OR_FAIL(call, check_group_usable(session, group));
    const auto volumes = TRY_OR_FAIL(call, find_thins(session, {group.name}));
    const int status = change_activation(call, session, volumes);
    std::size_t active = 0;
    for (const PoolRow& pool : TRY_OR_FAIL(call, session.catalog.pools(group.id))) {
        const auto now = TRY_OR_FAIL(call, pool_status(session.environment, pool));
        active += now ? now->active.size() : 0;
    }
    call.say("{} logical volume(s) in volume group \"{}\" now active", active, group.name);
    return status;
}

int change_one(Invocation& call, Session& session, const std::string& name) {
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(name));
    if (has_group_options(call)) {
        TRY_OR_FAIL(call, apply_group_options(call, session, group));
        call.say("Volume group \"{}\" successfully changed", group.name);
    }
    return call.has("activate") ? activate_all(call, session, group) : exit_ok;
}

int run(Invocation& call) {
    if (!has_group_options(call) && !call.has("activate"))
        return call.usage("Please give -a, --setautoactivation, --alloc, --addtag or --deltag.");
    Session session = TRY_OR_FAIL(call, call.session());
    const auto names = TRY_OR_FAIL(call, groups_or_all(session, call.operands()));
    int status = exit_ok;
    for (const std::string& name : names)
        status = std::max(status, change_one(call, session, name));
    return status;
}

}  // namespace

constexpr CommandSpec tvgchange{.name = "tvgchange",
                                .summary = "Change properties of volume groups, and activate them.",
                                .options = options,
                                .operands = operands,
                                .examples = examples,
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgchange));

}  // namespace thinvol
