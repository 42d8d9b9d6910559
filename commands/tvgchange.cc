#include "commands/group_options.h"
#include "commands/table.h"
#include "libvm/group_settings.h"
#include "libvm/reconcile.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"activate", 'a', Value::activation,
     "y: export all volumes; n: stop exporting them; ay: those that may be at boot."},
    set_autoactivation_option,
    allocation_option,
    group_addtag_option,
    {"deltag", 0, Value::text, "Take this tag away.", true},
};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Groups; all unless given.", false, true},
};
constexpr std::string_view examples[] = {"tvgchange -ay vg0", "tvgchange --addtag backup vg0",
                                         "tvgchange --alloc cling vg0"};

// Volumes that are flagged to be skipped stay as they are.
Result<> change_activation(Invocation& call, Session& session, const GroupRow& group) {
    const std::string& how = call.value("activate");
    TRY(check_group_usable(session, group));
    if (how == "ay" && !TRY(group_settings(session.catalog, group.id)).autoactivation) return {};
    std::size_t changed = 0;
    for (const PoolRow& pool : TRY(session.catalog.pools(group.id))) {
        std::vector<std::int64_t> ids;
        for (const ThinRow& volume : TRY(session.catalog.thins_of_pool(pool.lv.id))) {
            const auto automatic = TRY(session.catalog.database().number(
                "SELECT 1 FROM lv WHERE id = ? AND autoactivation", volume.lv.id));
            const bool skipped = volume.skip_activation || (how == "ay" && !automatic);
            if (how == "n" || !skipped) ids.push_back(volume.lv.id);
        }
        if (ids.empty()) continue;
        TRY(how == "n" ? deactivate(session, pool, ids) : activate(session, group, pool, ids));
        changed += ids.size();
    }
    call.say("{} logical volume(s) in volume group \"{}\" now active", how == "n" ? 0 : changed,
             group.name);
    return {};
}

int change_one(Invocation& call, Session& session, const std::string& name) {
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(name));
    if (has_group_options(call)) {
        TRY_OR_FAIL(call, apply_group_options(call, session, group));
        call.say("Volume group \"{}\" successfully changed", group.name);
    }
    if (call.has("activate")) TRY_OR_FAIL(call, change_activation(call, session, group));
    return exit_ok;
}

int run(Invocation& call) {
    if (!has_group_options(call) && !call.has("activate"))
        return call.usage("Please give -a, --setautoactivation, --alloc, --addtag or --deltag.");
    Session session = TRY_OR_FAIL(call, call.session());
    std::vector<std::string> names = call.operands();
    if (names.empty()) {
        for (const GroupRow& group : TRY_OR_FAIL(call, session.catalog.groups()))
            names.push_back(group.name);
    }
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
