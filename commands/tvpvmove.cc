#include <chrono>

#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/pv_move.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"name", 'n', Value::text, "Move only this pool's extents."},
    {"interval", 'i', Value::seconds, "Tell of progress that often; 15 unless given, 0: never."},
    {"abort", 0, Value::none, "End moves, of one physical volume or all; what was moved stays."},
};
constexpr Conflict conflicts[] = {{"abort", "name"}, {"abort", "interval"}};
constexpr OperandSpec operands[] = {
    {"SourcePV", Value::physical_volume,
     "Physical volume to empty; without it, moves that were interrupted go on.", false},
    {"DestinationPV", Value::physical_volume, "Where to; all others unless given.", false, true},
};
constexpr std::string_view examples[] = {"tvpvmove pv0.img", "tvpvmove -n pool0 pv0.img pv2.img",
                                         "tvpvmove --abort"};

Result<bool> work(Invocation& call, Session& session, const MoveJob& job) {
    using Clock = std::chrono::steady_clock;
    const auto interval = std::chrono::seconds(TRY(parse_number(call.value_or("interval", "15"))));
    auto told = Clock::now();
    std::string source;
    const bool done = TRY(carry_on_move(session, job, [&](const MoveProgress& progress) {
        source = progress.source;
        const bool all = progress.moved == progress.total;
        if (!all && (interval.count() == 0 || Clock::now() - told < interval)) return true;
        told = Clock::now();
        call.say("{}: Moved: {}%", progress.source,
                 format_percent(progress.moved.n, progress.total.n));
        return true;
    }));
    if (!done) call.warn(fmt::format("the move from {} was aborted; what was moved stays", source));
    return done;
}

int abort(Invocation& call, Session& session) {
    std::string wanted;
    if (!call.operands().empty())
        wanted = TRY_OR_FAIL(call, find_pv(session, call.operands().front())).uuid;
    for (const MoveJob& job : TRY_OR_FAIL(call, move_jobs(session))) {
        if (wanted.empty() || wanted == job.source) TRY_OR_FAIL(call, abort_move(session, job));
    }
    return exit_ok;
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    if (call.has("abort")) return abort(call, session);
    std::vector<MoveJob> jobs;
    if (call.operands().empty()) {
        jobs = TRY_OR_FAIL(call, move_jobs(session));
    } else {
        const PvRow source = TRY_OR_FAIL(call, find_pv(session, call.operands().front()));
        const GroupRow group = TRY_OR_FAIL(call, session.catalog.group(source.vg_id));
        std::vector<PvRow> targets;
        for (std::size_t i = 1; i < call.operands().size(); ++i)
            targets.push_back(TRY_OR_FAIL(call, find_pv(session, group, call.operands()[i])));
        jobs.push_back(
            TRY_OR_FAIL(call, begin_move(session, source, targets, call.value_or("name", ""))));
    }
    int status = exit_ok;
    for (const MoveJob& job : jobs) {
        const auto done = work(call, session, job);
        if (!done) status = call.fail(done.error());
        else if (!*done) status = exit_failed;
    }
    return status;
}

}  // namespace

constexpr CommandSpec tvpvmove{
    .name = "tvpvmove",
    .summary = "Move extents to other physical volumes, of pools in use too.",
    .options = options,
    .operands = operands,
    .conflicts = conflicts,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvpvmove));

}  // namespace thinvol
