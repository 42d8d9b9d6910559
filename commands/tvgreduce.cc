#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/groups.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"all", 'a', Value::none, "All physical volumes that hold nothing, but one."},
};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Volume group."},
    {"PV", Value::physical_volume, "Physical volume to remove; it must hold nothing.", false, true},
};

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

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(call.operands().front()));
    std::vector<PvRow> leaving;
    for (std::size_t i = 1; i < call.operands().size(); ++i)
        leaving.push_back(TRY_OR_FAIL(call, find_pv(session, group, call.operands()[i])));
    if (leaving.empty() != call.has("all"))
        return call.usage("Please give physical volumes, or --all.");
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
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgreduce));

}  // namespace thinvol
