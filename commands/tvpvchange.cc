#include "commands/invocation.h"
#include "commands/table.h"
#include "commands/tagging.h"
#include "libvm/group_log.h"
#include "libvm/pv_lifecycle.h"
#include "libvm/reconcile.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"allocatable", 'x', Value::yes_no, "Whether new extents may be taken from it."},
    addtag_option,
    deltag_option,
};
constexpr OperandSpec operands[] = {
    {"PV", Value::physical_volume, "Physical volume.", true, true},
};
constexpr std::string_view examples[] = {"tvpvchange -x n pv0.img",
                                         "tvpvchange --addtag metadata pv1.img"};

Result<> change_tags(Invocation& call, Session& session, const PvRow& pv) {
    const GroupRow group = TRY(session.catalog.group(pv.vg_id));
    TRY(check_group_usable(session, group));
    auto transaction = TRY(session.catalog.begin());
    for (const std::string& tag : call.values("addtag"))
        TRY(add_tag(session.catalog, {pv.vg_id, pv.id}, tag));
    for (const std::string& tag : call.values("deltag"))
        TRY(remove_tag(session.catalog, {pv.vg_id, pv.id}, tag));
    TRY(std::move(transaction).commit());
    return sync_group_log(session, group);
}

Result<> change_one(Invocation& call, Session& session, const std::string& path) {
    const PvRow pv = TRY(find_pv(session, path));
    if (call.has("addtag") || call.has("deltag")) TRY(change_tags(call, session, pv));
    if (call.has("allocatable"))
        TRY(set_allocatable(session, pv, call.value("allocatable") == "y"));
    call.say("Physical volume \"{}\" changed", pv.path);
    return {};
}

int run(Invocation& call) {
    if (!call.has("allocatable") && !call.has("addtag") && !call.has("deltag"))
        return call.usage("Please give -x, --addtag or --deltag.");
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const std::string& path : call.operands()) {
        if (auto changed = change_one(call, session, path); !changed)
            status = call.fail(changed.error());
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvpvchange{.name = "tvpvchange",
                                 .summary = "Change properties of physical volumes.",
                                 .options = options,
                                 .operands = operands,
                                 .examples = examples,
                                 .run = run,
                                 .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvpvchange));

}  // namespace thinvol
