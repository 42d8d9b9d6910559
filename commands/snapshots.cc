#include "commands/snapshots.h"

#include "commands/lookup.h"
#include "commands/warnings.h"
#include "libvm/config.h"

namespace thinvol {

int make_snapshot(Invocation& call) {
    if (call.has("size") || call.has("extents")) {
        return call.usage(
            "A thin snapshot has no size of its own: it shares its origin's blocks, and takes new "
            "ones from the pool as either is written. "
            "Leave --size and --extents out.");
    }
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundThin origin = TRY_OR_FAIL(call, find_thin(session, call.operands().front()));
    const PoolRow pool = TRY_OR_FAIL(call, session.catalog.pool(origin.thin.pool_id));
    MakeVolumesRequest::One one;
    one.name = call.value_or("name", "");
    one.origin_id = origin.thin.lv.id;
    one.read_only = call.value_or("permission", "rw") == "r";
    const Config config = TRY_OR_FAIL(call, Config::load(session, origin.group.id, pool.lv.id));
    one.skip_activation = call.has("setactivationskip") ? call.value("setactivationskip") == "y"
                                                        : config.flag("activation.skip_snapshots");
    const auto made = TRY_OR_FAIL(call, create_volumes(session, origin.group, pool, {{one}}));
    for (const auto& warning : made.warnings) call.warn(warning);
    warn_of_space(call, session, origin.group, pool, made.pool);
    call.say("Logical volume \"{}\" created.", made.names.front());
    return exit_ok;
}

}  // namespace thinvol
