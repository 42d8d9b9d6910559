#include "commands/properties.h"

#include <map>

#include "commands/activation.h"
#include "commands/select.h"
#include "libvm/autoactivation.h"
#include "libvm/reconcile.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

// The groups' logs follow.
Result<> announce(Invocation& call, Session& session, const std::map<std::int64_t, GroupRow>& of) {
    for (const auto& [id, group] : of) {
        for (const auto& warning : TRY(announce_change(session, group)).warnings)
            call.warn(warning);
    }
    return {};
}

}  // namespace

Result<> change_properties(Invocation& call, Session& session,
                           const std::vector<FoundThin>& volumes) {
    const std::vector<PoolBatch> pools = TRY(by_pool(session, volumes));
    for (const PoolBatch& batch : pools) TRY(check_changeable(session, batch.group, batch.pool));
    std::map<std::int64_t, GroupRow> groups;
    auto transaction = TRY(session.catalog.begin());
    for (const FoundThin& v : volumes) {
        groups.emplace(v.group.id, v.group);
        if (call.has("setactivationskip"))
            TRY(session.catalog.set_skip_activation(v.thin.lv.id,
                                                    call.value("setactivationskip") == "y"));
        if (call.has("setautoactivation"))
            TRY(set_autoactivation(session.catalog, v.thin.lv.id,
                                   call.value("setautoactivation") == "y"));
        if (call.has("permission"))
            TRY(session.catalog.set_read_only(v.thin.lv.id, call.value("permission") == "r"));
    }
    TRY(std::move(transaction).commit());
    TRY(announce(call, session, groups));
    for (const PoolBatch& batch : pools) {
        const auto told =
            TRY(ask_if_served(session.environment, batch.pool, new_request(RefreshRequest{})));
        if (!told) continue;
        for (const auto& warning : told->warnings) call.warn(warning);
    }
    for (const FoundThin& v : volumes) call.say("Logical volume {} changed.", v.full_name());
    return {};
}

Result<> change_tags(Invocation& call, Session& session) {
    const auto volumes =
        TRY(find_volumes(session, TRY(selected_operands(call, Selected::volumes))));
    std::map<std::int64_t, GroupRow> groups;
    for (const FoundVolume& v : volumes) {
        if (groups.emplace(v.group.id, v.group).second) TRY(check_group_usable(session, v.group));
    }
    auto transaction = TRY(session.catalog.begin());
    for (const FoundVolume& v : volumes) {
        const Taggable object{v.group.id, 0, v.lv.id};
        for (const auto& tag : call.values("addtag")) TRY(add_tag(session.catalog, object, tag));
        for (const auto& tag : call.values("deltag")) TRY(remove_tag(session.catalog, object, tag));
    }
    TRY(std::move(transaction).commit());
    TRY(announce(call, session, groups));
    for (const FoundVolume& v : volumes) call.say("Logical volume {} changed.", v.full_name());
    return {};
}

}  // namespace thinvol
