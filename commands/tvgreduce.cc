#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/missing_pvs.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"all", 'a', Value::none, "All physical volumes that hold nothing, but one."},
    {"removemissing", 0, Value::none, "Those that are missing, if no volume lies on them."},
    {"force", 'f', Value::none,
     "With --removemissing: remove the pools that lie on them too, with all their volumes."},
};
constexpr Conflict conflicts[] = {{"all", "removemissing"}};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Volume group."},
    {"PV", Value::physical_volume, "Physical volume to remove; it must hold nothing.", false, true},
};

constexpr std::string_view examples[] = {"tvgreduce vg0 pv1.img",
                                         "tvgreduce --removemissing --force vg0"};

Result<std::vector<PvRow>> unused_pvs(Session& session, const GroupRow& group) {
    const auto segments = TRY(session.catalog.segments(group.id));
    std::vector<PvRow> unused;
    auto pvs = TRY(session.catalog.pvs(group.id));
    for (const PvRow& pv : pvs) {
        const bool used = std::any_of(segments.begin(), segments.end(), [&](const SegmentRow& s) {
            return s.pv_id == pv.id && s.role != SegmentRole::log;
        });
        if (!used) unused.push_back(pv);
    }
    if (unused.size() == pvs.size()) unused.erase(unused.begin());
    return unused;
}

int remove_missing(Invocation& call, Session& session, const GroupRow& group) {
    const Missing missing = TRY_OR_FAIL(call, missing_in(session, group));
    if (missing.pvs.empty()) {
        call.say("Volume group \"{}\" is already consistent.", group.name);
        return exit_ok;
    }
    const bool force = call.has("force");
    for (const PoolRow& pool : missing.partial) {
        if (!force)
            call.warn(fmt::format("Partial LV {}/{} needs to be repaired or removed.", group.name,
                                  pool.lv.name));
    }
    const auto given = TRY_OR_FAIL(call, give_up_missing(session, group, missing, force));
    for (const auto& warning : given.warnings) call.warn(warning);
    for (const PoolRow& pool : given.pools)
        call.say("Logical volume \"{}\" successfully removed.", pool.lv.name);
    for (const PvRow& pv : given.pvs)
        call.say("Removed missing \"{}\" from volume group \"{}\"", pv.path, group.name);
    if (force || missing.partial.empty()) return exit_ok;
    return call.fail(Error(
        Errc::busy, fmt::format("There are still partial LVs in VG {0}. Bring their physical "
                                "volumes back (tvgscan finds those that were moved); or give the "
                                "volumes up: tvgreduce --removemissing --force {0}",
                                group.name)));
}

int run(Invocation& call) {
    if (call.has("force") && !call.has("removemissing"))
        return call.usage("--force is for --removemissing.");
    Session session = TRY_OR_FAIL(call, call.session());
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(call.operands().front()));
    if (call.has("removemissing")) {
        if (call.operands().size() > 1)
            return call.usage("--removemissing finds the physical volumes by itself.");
        return remove_missing(call, session, group);
    }
    std::vector<PvRow> leaving;
    for (std::size_t i = 1; i < call.operands().size(); ++i)
        leaving.push_back(TRY_OR_FAIL(call, find_pv(session, group, call.operands()[i])));
    if (leaving.empty() != call.has("all"))
        return call.usage("Please give physical volumes, --all, or --removemissing.");
    if (call.has("all")) leaving = TRY_OR_FAIL(call, unused_pvs(session, group));
    if (leaving.empty()) return exit_ok;
    const auto result = TRY_OR_FAIL(call, reduce_group(session, group, leaving));
    for (const auto& warning : result.warnings) call.warn(warning);
    for (const PvRow& pv : leaving)
        call.say("Removed \"{}\" from volume group \"{}\"", pv.path, group.name);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgreduce{.name = "tvgreduce",
                                .summary = "Remove physical volumes from a volume group.",
                                .options = options,
                                .operands = operands,
                                .conflicts = conflicts,
                                .examples = examples,
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgreduce));

}  // namespace thinvol
