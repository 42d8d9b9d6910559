#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/pool_repair.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"merge", 0, Value::none,
     "The origin gets the snapshot's content, size and place in the pool, and the snapshot goes: "
     "at once, or if either is in use when neither is active any more."},
    {"keep", 0, Value::none,
     "With --merge: what the origin had stays as its snapshot ORIGIN_premerge."},
    {"cancelmerge", 0, Value::none, "A merge that waits is given up."},
    {"repair", 0, Value::none,
     "The pool's metadata are written anew from what can still be read of them; the damaged ones "
     "stay as POOL_meta0, which tvs -a shows and tvremove removes."},
    {"swapmetadata", 0, Value::none,
     "The pool takes the metadata that --repair kept, or those on the group's spare, and leaves "
     "its own there: back to before --repair."},
};
constexpr OperandSpec operands[] = {
    {"VG/LV|@Tag", Value::volume, "Snapshots; or one pool.", true, true},
};
constexpr Conflict conflicts[] = {{"merge", "cancelmerge"},  {"keep", "cancelmerge"},
                                  {"merge", "repair"},       {"merge", "swapmetadata"},
                                  {"cancelmerge", "repair"}, {"cancelmerge", "swapmetadata"},
                                  {"repair", "swapmetadata"}};
constexpr std::string_view examples[] = {
    "tvconvert --merge vg0/before-upgrade", "tvconvert --merge --keep vg0/before-upgrade",
    "tvconvert --cancelmerge vg0/before-upgrade", "tvconvert --repair vg0/pool0"};

Result<> merge(Invocation& call, Session& session, const FoundThin& snapshot) {
    const auto origin = session.catalog.thin(snapshot.thin.origin_id);
    const VolumeResult merged =
        TRY(merge_snapshot(session, snapshot.group, snapshot.thin, call.has("keep")));
    for (const auto& warning : merged.warnings) call.warn(warning);
    const std::string& group = snapshot.group.name;
    if (merged.names.empty()) {
        call.say("Merging of thin snapshot {} will occur once neither it nor {}/{} is active.",
                 snapshot.full_name(), group, TRY(origin).lv.name);
        return {};
    }
    call.say("Volume {} replaced origin {}/{}.", snapshot.full_name(), group, merged.names[0]);
    if (merged.names.size() > 1) call.say("What was before is {}/{}.", group, merged.names[1]);
    return {};
}

Result<> cancel(Invocation& call, Session& session, const FoundThin& snapshot) {
    const VolumeResult cancelled = TRY(cancel_merge(session, snapshot.group, snapshot.thin));
    for (const auto& warning : cancelled.warnings) call.warn(warning);
    call.say("Thin snapshot {} stays: it will not be merged.", snapshot.full_name());
    return {};
}

int convert_pool(Invocation& call) {
    if (call.has("test"))
        return call.usage("--repair and --swapmetadata cannot be tried with --test.");
    if (call.operands().size() > 1) return call.usage("Please give one pool.");
    const std::string& pool = call.operands().front();
    if (call.has("repair")) call.say("{}", TRY_OR_FAIL(call, repair_pool(call, pool)));
    else TRY_OR_FAIL(call, swap_metadata(call, pool));
    return exit_ok;
}

int run(Invocation& call) {
    if (call.has("repair") || call.has("swapmetadata")) return convert_pool(call);
    if (!call.has("merge") && !call.has("cancelmerge"))
        return call.usage("Please give --merge, --cancelmerge, --repair or --swapmetadata.");
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const FoundThin& found : TRY_OR_FAIL(call, find_thins(session, call.operands()))) {
        auto outcome =
            call.has("merge") ? merge(call, session, found) : cancel(call, session, found);
        if (!outcome) status = call.fail(std::move(outcome).error().prefixed(found.full_name()));
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvconvert{
    .name = "tvconvert",
    .summary = "Roll a thin volume back to a snapshot, or repair a pool.",
    .options = options,
    .operands = operands,
    .conflicts = conflicts,
    .examples = examples,
    .run = run,
    .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvconvert));

}  // namespace thinvol
