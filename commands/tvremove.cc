#include <map>

#include "commands/idempotence.h"
#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/pool_repair.h"
#include "commands/select.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"force", 'f', Value::none, "Do not ask.", true},
    SELECT_OPTION,
    idempotent_option,
};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV|@Tag", Value::group_or_volume,
     "Thin volumes or pools; a group or tag stands for all of its.", true, true},
};
constexpr std::string_view examples[] = {
    "tvremove vg0/monday vg0/tuesday @nightly",
    "tvremove -S 'lv_role=thinsnapshot && lv_time until \"14 days ago\"' vg0"};

// What goes of a pool: some volumes, in one transaction, or all of it.
struct Removal : FoundPool {
    bool whole = false;
    std::vector<ThinRow> volumes;
};

bool sure(Invocation& call, const std::string& question) {
    return call.has("force") || call.confirm(question);
}

Error not_removed(const std::string& name) {
    return {Errc::busy, fmt::format("Logical volume {} not removed.", name)};
}

Result<> remove_whole_pool(Invocation& call, Session& session, const Removal& removal) {
    const std::string name = removal.full_name();
    const auto volumes = TRY(session.catalog.thins_of_pool(removal.pool.lv.id));
    if (!volumes.empty() &&
        !sure(call, fmt::format("Removing pool {} will remove {} dependent volume(s). Proceed?",
                                name, volumes.size())))
        return not_removed(name);
    for (const auto& warning : TRY(remove_pool(session, removal.group, removal.pool)).warnings)
        call.warn(warning);
    for (const ThinRow& v : volumes)
        call.say("Logical volume \"{}\" successfully removed.", v.lv.name);
    call.say("Logical volume \"{}\" successfully removed.", removal.pool.lv.name);
    return {};
}

// Whether the volume may go, as far as its clients and the user are concerned.
Result<> may_go(Invocation& call, const std::string& name, std::int64_t lv_id,
                const std::optional<PoolAnswer>& status) {
    if (!status) return {};
    for (const ActiveVolume& active : status->active) {
        if (active.lv_id != lv_id) continue;
        if (active.clients > 0)
            return Error(Errc::busy, fmt::format("Logical volume {} in use.", name));
        if (!sure(call,
                  fmt::format("Do you really want to remove active logical volume {}?", name)))
            return not_removed(name);
    }
    return {};
}

int remove_some(Invocation& call, Session& session, const Removal& removal) {
    int status = exit_ok;
    const auto pool_now = TRY_OR_FAIL(call, pool_status(session.environment, removal.pool));
    RemoveVolumesRequest request{{}, true};
    std::vector<std::string> names;
    for (const ThinRow& v : removal.volumes) {
        const std::string name = removal.group.name + "/" + v.lv.name;
        if (auto may = may_go(call, name, v.lv.id, pool_now); !may) {
            status = call.fail(may.error());
            continue;
        }
        request.lv_ids.push_back(v.lv.id);
        names.push_back(v.lv.name);
    }
    if (names.empty()) return status;
    const auto removed =
        TRY_OR_FAIL(call, remove_volumes(session, removal.group, removal.pool, request));
    for (const auto& warning : removed.warnings) call.warn(warning);
    for (const auto& name : names) call.say("Logical volume \"{}\" successfully removed.", name);
    return status;
}

// By pool; volumes whose pool goes as a whole are not listed.
Result<> add(Invocation& call, Session& session, std::map<std::int64_t, Removal>& removals,
             const std::string& operand) {
    if (TRY(remove_if_kept(call, session, operand))) return {};
    for (const FoundVolume& found : TRY(find_volumes(session, {operand}))) {
        const bool whole = found.lv.kind == LvKind::pool;
        std::optional<ThinRow> thin;
        if (!whole) thin = TRY(session.catalog.thin(found.lv.id));
        const std::int64_t pool_id = whole ? found.lv.id : thin->pool_id;
        auto [removal, is_new] = removals.try_emplace(pool_id);
        if (is_new) {
            removal->second.group = found.group;
            removal->second.pool = TRY(session.catalog.pool(pool_id));
        }
        auto& volumes = removal->second.volumes;
        removal->second.whole = removal->second.whole || whole;
        const auto same = [&](const ThinRow& v) { return v.lv.id == found.lv.id; };
        if (thin && std::ranges::none_of(volumes, same)) volumes.push_back(std::move(*thin));
    }
    return {};
}

int run(Invocation& call) {
    const auto wanted = TRY_OR_FAIL(call, selected_operands(call, Selected::volumes));
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    std::map<std::int64_t, Removal> removals;
    for (const std::string& operand : wanted) {
        auto added = add(call, session, removals, operand);
        if (!added) {
            if (added.error().code != Errc::not_found || !call.has(idempotent_option.name))
                status = call.fail(added.error());
        } else if (operand.starts_with('@') &&
                   !sure(call, fmt::format("Really remove all that carries {}?", operand))) {
            return call.fail({Errc::busy, "Nothing removed."});
        }
    }
    for (const auto& [pool_id, removal] : removals) {
        if (!removal.whole) status = std::max(status, remove_some(call, session, removal));
        else if (auto removed = remove_whole_pool(call, session, removal); !removed)
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
                               .run = run,
                               .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvremove));

}  // namespace thinvol
