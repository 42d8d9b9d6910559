#include "commands/invocation.h"
#include "commands/lending.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"adopt", 0, Value::text, "ID=NAME[,SIZE]: a thin id that only the pool has is this volume.",
     true},
    {"delete-unknown", 0, Value::text, "ID: remove this thin id, which only the pool has.", true},
    {"forget", 0, Value::text, "NAME: remove this volume, which only the catalog has.", true},
};
constexpr OperandSpec operands[] = {
    {"VG|VG/Pool", Value::group_or_volume, "Group, or one pool of it to decide about."},
};
constexpr std::string_view examples[] = {"tvgreconcile --test vg0", "tvgreconcile vg0",
                                         "tvgreconcile --adopt 7=copy --forget old vg0/pool0"};

// The catalog against the log; the group as it is then.
Result<GroupRow> reconcile_catalog(Invocation& call, Session& session, const GroupRow& group,
                                   bool& differs) {
    const auto newer = TRY(newer_rows(session, group));
    if (!newer) return group;
    differs = true;
    call.say("The log on {} is newer than the catalog:", newer->from);
    const GroupRows here = TRY(GroupRows::of(session.catalog, group.id));
    for (const std::string& line : differences(here, newer->rows)) call.say("  {}", line);
    if (call.has("test")) return group;
    GroupRow taken = TRY(take_newer_rows(session, *newer));
    call.say("Volume group \"{}\" is as the log on {} knows it.", taken.name, newer->from);
    return taken;
}

Result<int> reconcile_pool(Invocation& call, Session& session, const GroupRow& group,
                           const PoolRow& pool, const PoolDecisions& decisions) {
    const std::string name = fmt::format("{}/{}", group.name, pool.lv.name);
    const PoolState before = TRY(examine_pool(session, group, pool, decisions));
    const auto show = [&] {
        for (const std::string& line : before.undecided) call.say("{}: {}", name, line);
    };
    if (before.in_use) call.say("Pool {} is in use; it agreed when it was opened.", name);
    if (call.has("test")) {
        show();
        return before.undecided.empty() ? exit_ok : exit_failed;
    }
    const PoolState after = TRY(settle_pool(session, group, pool, decisions));
    for (const std::string& line : after.undecided)
        call.fail(Error(Errc::corrupt, fmt::format("{}: {}", name, line)));
    if (!after.undecided.empty()) return exit_failed;
    show();
    if (!before.undecided.empty()) call.say("Pool {} and the catalog agree.", name);
    return exit_ok;
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const Reference reference = TRY_OR_FAIL(call, parse_reference(call.operands().front()));
    const PoolDecisions decisions = TRY_OR_FAIL(call, decisions_of(call));
    const bool decided = call.has("adopt") || call.has("delete-unknown") || call.has("forget");
    if (decided && reference.volume.empty())
        return call.usage("--adopt, --delete-unknown and --forget are about a pool: give VG/Pool.");
    bool differs = false;
    GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(reference.group));
    group = TRY_OR_FAIL(call, reconcile_catalog(call, session, group, differs));
    if (differs && call.has("test")) return exit_failed;  // the pools are another catalog's
    int status = exit_ok;
    std::vector<PoolRow> pools = TRY_OR_FAIL(call, session.catalog.pools(group.id));
    if (!reference.volume.empty()) {
        const FoundPool found = TRY_OR_FAIL(call, find_pool(session, call.operands().front()));
        pools = {found.pool};
    }
    for (const PoolRow& pool : pools) {
        const auto settled = reconcile_pool(call, session, group, pool, decisions);
        status = std::max(status, settled ? *settled : call.fail(settled.error()));
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvgreconcile{
    .name = "tvgreconcile",
    .summary = "Settle what the catalog, the physical volumes and the pools disagree about.",
    .options = options,
    .operands = operands,
    .examples = examples,
    .run = run,
    .test_mode = TestMode::harmless};
static_assert(well_formed(tvgreconcile));

}  // namespace thinvol
