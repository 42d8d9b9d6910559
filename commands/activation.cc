#include "commands/activation.h"

#include <map>

#include "libvm/autoactivation.h"
#include "libvm/left_devices.h"

namespace thinvol {
namespace {

Result<bool> wanted(Invocation& call, Session& session, const FoundThin& v) {
    const bool automatic = call.value("activate") == "ay";
    if (automatic && !TRY(autoactivates(session.catalog, v.thin.lv.id))) return false;
    if (v.thin.merging != Merging::no) {
        call.warn(
            fmt::format("{} is to replace its origin, and was not activated.", v.full_name()));
        return false;
    }
    if (!v.thin.skip_activation || call.has("ignoreactivationskip")) return true;
    if (!automatic)
        call.warn(fmt::format(
            "{} is flagged to be skipped and was not activated; use -K, or -kn for good.",
            v.full_name()));
    return false;
}

}  // namespace

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

// Of a pool whose server was killed and that no other can serve.
Result<> give_up_devices(Invocation& call, Session& session, const PoolRow& pool) {
    for (const auto& node : TRY(give_up_left_devices(session.environment, pool.lv.uuid)))
        call.warn(fmt::format("{} is removed; whoever uses it gets errors.", node));
    return {};
}

int change_activation(Invocation& call, Session& session, std::vector<FoundThin> volumes) {
    const bool on = call.value("activate") != "n";
    if (on) {
        std::vector<FoundThin> kept;
        for (FoundThin& v : volumes) {
            if (TRY_OR_FAIL(call, wanted(call, session, v))) kept.push_back(std::move(v));
        }
        volumes = std::move(kept);
    }
    const std::string how = call.has("export") ? call.value("export") : "";
    int status = exit_ok;
    for (const PoolBatch& batch : TRY_OR_FAIL(call, by_pool(session, volumes))) {
        auto done = on ? activate(session, batch.group, batch.pool, {batch.lv_ids, how})
                       : deactivate(session, batch.pool, batch.lv_ids);
        if (!done) {
            const bool force = !on && call.has("force");
            if (force && done.error().code == Errc::busy)
                done.error().text +=
                    "; that has to end first: -f would lose what it has not written yet";
            else if (force && give_up_devices(call, session, batch.pool)) continue;
            status = call.fail(done.error());
            continue;
        }
        for (const auto& warning : done->warnings) call.warn(warning);
        for (const auto& name : done->names)
            call.say("Merged: {}/{} is what its snapshot was.", batch.group.name, name);
    }
    return status;
}

}  // namespace thinvol
