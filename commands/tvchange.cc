#include <map>

#include "commands/invocation.h"
#include "commands/lending.h"
#include "commands/lookup.h"
#include "commands/pool_settings.h"
#include "commands/select.h"
#include "commands/table.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"activate", 'a', Value::activation, "y: export the volumes; n: stop exporting them."},
    {"ignoreactivationskip", 'K', Value::none,
     "Activate volumes that are flagged to be skipped too."},
    {"setactivationskip", 'k', Value::yes_no,
     "Flag the volumes to be skipped by activation, or clear the flag."},
    {"permission", 'p', Value::permission, "Whether the volumes may be written."},
    zero_option,
    discards_option,
    error_when_full_option,
    no_space_timeout_option,
    SELECT_OPTION,
    {"lend", 0, Value::lend_target, "Leave the pool to the kernel; nothing here touches it."},
    {"return", 0, Value::none, "Take the pool back, once it is decided what is new or gone."},
    {"adopt", 0, Value::text, "With --return, ID=NAME[,SIZE]: a new thin id is this volume.", true},
    {"delete-unknown", 0, Value::text, "With --return, ID: remove this new thin id.", true},
    {"forget", 0, Value::text, "With --return, NAME: remove this volume, which is gone.", true},
    {"accept-transaction-id", 0, Value::text, "With --return: the pool's transaction id as it is."},
};
constexpr Conflict conflicts[] = {{"lend", "return"}, {"lend", "activate"}, {"return", "activate"}};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV", Value::group_or_volume,
     "Thin volumes, a group for all in it; or pools, for what is a pool's.", true, true},
};
constexpr std::string_view examples[] = {"tvchange -ay vg0/root", "tvchange -an -S lv_tags=nightly",
                                         "tvchange --errorwhenfull y vg0/pool0",
                                         "tvchange --lend kernel vg0/pool0",
                                         "tvchange --return --adopt 7=copy,10g vg0/pool0"};

// The volumes of the operands by their pools: a pool's server is asked once.
struct PoolBatch {
    GroupRow group;
    PoolRow pool;
    std::vector<std::int64_t> lv_ids;
};
Result<std::vector<PoolBatch>> by_pool(Session& session, const std::vector<FoundThin>& volumes) {
    std::map<std::int64_t, PoolBatch> batches;
    for (const FoundThin& v : volumes) {
        auto it = batches.find(v.thin.pool_id);
        if (it == batches.end()) {
            const PoolRow pool = TRY(session.catalog.pool(v.thin.pool_id));
            it = batches.emplace(v.thin.pool_id, PoolBatch{v.group, pool, {}}).first;
        }
        it->second.lv_ids.push_back(v.thin.lv.id);
    }
    std::vector<PoolBatch> all;
    for (auto& [id, batch] : batches) all.push_back(std::move(batch));
    return all;
}

Result<> change_properties(Invocation& call, Session& session,
                           const std::vector<FoundThin>& volumes) {
    const std::vector<PoolBatch> pools = TRY(by_pool(session, volumes));
    for (const PoolBatch& batch : pools) TRY(check_changeable(session, batch.group, batch.pool));
    auto transaction = TRY(session.catalog.begin());
    for (const FoundThin& v : volumes) {
        if (call.has("setactivationskip"))
            TRY(session.catalog.set_skip_activation(v.thin.lv.id,
                                                    call.value("setactivationskip") == "y"));
        if (call.has("permission"))
            TRY(session.catalog.set_read_only(v.thin.lv.id, call.value("permission") == "r"));
    }
    TRY(std::move(transaction).commit());
    for (const auto& warning : TRY(announce_change(session, volumes.front().group)).warnings)
        call.warn(warning);
    for (const PoolBatch& batch : pools)
        TRY(ask_if_served(session.environment, batch.pool, new_request(RefreshRequest{})));
    for (const FoundThin& v : volumes) call.say("Logical volume {} changed.", v.full_name());
    return {};
}

int change_activation(Invocation& call, Session& session, std::vector<FoundThin> volumes) {
    const bool on = call.value("activate") != "n";
    if (on && !call.has("ignoreactivationskip")) {
        std::erase_if(volumes, [&](const FoundThin& v) {
            if (v.thin.skip_activation)
                call.warn(fmt::format(
                    "{} is flagged to be skipped and was not activated; use -K, or -kn for good.",
                    v.full_name()));
            return v.thin.skip_activation;
        });
    }
    int status = exit_ok;
    for (const PoolBatch& batch : TRY_OR_FAIL(call, by_pool(session, volumes))) {
        const auto done = on ? activate(session, batch.group, batch.pool, batch.lv_ids)
                             : deactivate(session, batch.pool, batch.lv_ids);
        if (!done) status = call.fail(done.error());
    }
    return status;
}

int change_pools(Invocation& call, Session& session) {
    for (const auto& operand : TRY_OR_FAIL(call, selected_operands(call, Selected::pools))) {
        FoundPool found = TRY_OR_FAIL(call, find_pool(session, operand));
        apply_pool_settings(call, found.pool);
        const auto changed = TRY_OR_FAIL(call, change_pool(session, found.group, found.pool));
        for (const auto& warning : changed.warnings) call.warn(warning);
        call.say("Logical volume {} changed.", found.full_name());
    }
    return exit_ok;
}

int run(Invocation& call) {
    for (const char* option : {"adopt", "delete-unknown", "forget", "accept-transaction-id"}) {
        if (call.has(option) && !call.has("return"))
            return call.usage(fmt::format("--{} goes with --return.", option));
    }
    if (call.has("lend") || call.has("return")) return change_lending(call);
    const bool properties = call.has("setactivationskip") || call.has("permission");
    const bool of_pools = has_pool_settings(call);
    if (!properties && !of_pools && !call.has("activate"))
        return call.usage("Please give -a, -k, -p, a setting of a pool, --lend or --return.");
    if (of_pools && (properties || call.has("activate")))
        return call.usage("Settings of pools are changed by themselves: leave -a, -k and -p.");
    Session session = TRY_OR_FAIL(call, call.session());
    if (of_pools) return change_pools(call, session);
    const auto wanted = TRY_OR_FAIL(call, selected_operands(call, Selected::thins));
    const auto volumes = TRY_OR_FAIL(call, find_thins(session, wanted));
    if (properties && !volumes.empty())
        TRY_OR_FAIL(call, change_properties(call, session, volumes));
    return call.has("activate") ? change_activation(call, session, volumes) : exit_ok;
}

}  // namespace

constexpr CommandSpec tvchange{
    .name = "tvchange",
    .summary = "Activate and deactivate thin volumes, and change their properties.",
    .options = options,
    .operands = operands,
    .conflicts = conflicts,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvchange));

}  // namespace thinvol
