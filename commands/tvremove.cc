#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/select.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"force", 'f', Value::none, "Do not ask.", true},
    SELECT_OPTION,
};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV", Value::group_or_volume, "Thin volumes or pools; a group stands for all in it.",
     true, true},
};
constexpr std::string_view examples[] = {
    "tvremove -y vg0/before-upgrade",
    "tvremove -S 'lv_role=thinsnapshot && lv_time until \"14 days ago\"' vg0"};

bool sure(Invocation& call, const std::string& question) {
    return call.has("force") || call.confirm(question);
}

Result<> remove_whole_pool(Invocation& call, Session& session, const GroupRow& group,
                           const PoolRow& pool) {
    const std::string name = group.name + "/" + pool.lv.name;
    const auto volumes = TRY(session.catalog.thins_of_pool(pool.lv.id));
    if (!volumes.empty() &&
        !sure(call, fmt::format("Removing pool {} will remove {} dependent volume(s). Proceed?",
                                name, volumes.size()))) {
        return Error(Errc::busy, fmt::format("Logical volume {} not removed.", name));
    }
    for (const auto& warning : TRY(remove_pool(session, group, pool)).warnings) call.warn(warning);
    for (const ThinRow& v : volumes)
        call.say("Logical volume \"{}\" successfully removed.", v.lv.name);
    call.say("Logical volume \"{}\" successfully removed.", pool.lv.name);
    return {};
}

Result<> remove_thin(Invocation& call, Session& session, const FoundThin& found) {
    const PoolRow pool = TRY(session.catalog.pool(found.thin.pool_id));
    bool active = false;
    if (const auto status = TRY(pool_status(session.environment, pool))) {
        for (const ActiveVolume& v : status->active) {
            if (v.lv_id != found.thin.lv.id) continue;
            active = true;
            if (v.clients > 0)
                return Error(Errc::busy,
                             fmt::format("Logical volume {} in use.", found.full_name()));
        }
    }
    if (active && !sure(call, fmt::format("Do you really want to remove active logical volume {}?",
                                          found.full_name()))) {
        return Error(Errc::busy, fmt::format("Logical volume {} not removed.", found.full_name()));
    }
    const auto removed =
        TRY(remove_volumes(session, found.group, pool, {{found.thin.lv.id}, true}));
    for (const auto& warning : removed.warnings) call.warn(warning);
    call.say("Logical volume \"{}\" successfully removed.", found.thin.lv.name);
    return {};
}

Result<> remove_one(Invocation& call, Session& session, const std::string& operand) {
    const Reference reference = TRY(parse_reference(operand));
    if (reference.volume.empty()) {
        const GroupRow group = TRY(session.catalog.find_group(reference.group));
        for (const PoolRow& pool : TRY(session.catalog.pools(group.id)))
            TRY(remove_whole_pool(call, session, group, pool));
        return {};
    }
    const FoundVolume found = TRY(find_volume(session, operand));
    if (found.lv.kind == LvKind::pool)
        return remove_whole_pool(call, session, found.group,
                                 TRY(session.catalog.pool(found.lv.id)));
    const ThinRow thin = TRY(session.catalog.thin(found.lv.id));
    return remove_thin(call, session, {found.group, thin});
}

int run(Invocation& call) {
    const auto wanted = TRY_OR_FAIL(call, selected_operands(call, Selected::volumes));
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const std::string& operand : wanted) {
        if (auto removed = remove_one(call, session, operand); !removed)
            status = call.fail(removed.error());
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvremove{.name = "tvremove",
                               .summary = "Remove thin volumes and pools.",
                               .options = options,
                               .operands = operands,
                               .examples = examples,
                               .run = run};
static_assert(well_formed(tvremove));

}  // namespace thinvol
