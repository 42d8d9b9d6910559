#include "commands/refresh.h"

#include <algorithm>

#include "commands/lookup.h"
#include "commands/select.h"
#include "libvm/pool_access.h"

namespace thinvol {
namespace {

// Of a group all pools.
Result<std::vector<FoundPool>> find_pools(Session& session, const std::string& operand) {
    std::vector<FoundPool> found;
    if (operand.find('/') != std::string::npos) {
        found.push_back(TRY(find_pool(session, operand)));
        return found;
    }
    const GroupRow group = TRY(session.catalog.find_group(operand));
    for (PoolRow& pool : TRY(session.catalog.pools(group.id)))
        found.push_back({group, std::move(pool)});
    return found;
}

int refresh(Invocation& call, const Session& session, const FoundPool& found) {
    const auto pause = restart_server(session.environment, found.pool);
    if (!pause) return call.fail(pause.error());
    if (*pause)
        call.say("Logical volume {}: server replaced; its clients waited {} ms.", found.full_name(),
                 **pause);
    else call.say("Logical volume {} has no server to replace.", found.full_name());
    return exit_ok;
}

}  // namespace

int refresh_servers(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    std::vector<std::string> wanted = TRY_OR_FAIL(call, selected_operands(call, Selected::pools));
    if (call.has("all")) wanted = TRY_OR_FAIL(call, groups_or_all(session, {}));
    int status = exit_ok;
    for (const std::string& operand : wanted) {
        for (const FoundPool& found : TRY_OR_FAIL(call, find_pools(session, operand)))
            status = std::max(status, refresh(call, session, found));
    }
    return status;
}

}  // namespace thinvol
