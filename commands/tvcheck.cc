#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "engine/check.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG/Pool", Value::pool, "Pool, active or not."},
};

// As thin_check has it.
constexpr int exit_damaged = 1;

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundPool found = TRY_OR_FAIL(call, find_pool(session, call.operands().front()));
    const auto view = TRY_OR_FAIL(call, MetadataView::open(session, found.group, found.pool));
    const CheckReport report =
        TRY_OR_FAIL(call, within(found.full_name(), check_metadata(view->device())));
    for (const auto& finding : report.findings)
        call.fail(Error(Errc::corrupt, fmt::format("{}: {}", found.full_name(), finding.text)));
    if (report.unlisted > 0)
        call.fail(Error(Errc::corrupt,
                        fmt::format("{}: and {} more", found.full_name(), report.unlisted)));
    if (!report.superblock_valid) return exit_damaged;
    const Superblock& sb = report.superblock;
    call.say("transaction id {}, {} volumes, {} mappings", sb.transaction_id, report.volumes,
             report.mappings);
    call.say("data blocks      {} of {} in use", report.data_used, sb.data_space_map.blocks);
    call.say("metadata blocks  {} of {} in use", report.metadata_used,
             sb.metadata_space_map.blocks);
    if (sb.needs_check) call.say("needs_check is set");
    call.say("{}", report.clean()
                       ? "no damage found"
                       : fmt::format("{} damaged places, {} leaks", report.damages, report.leaks));
    return report.clean() ? exit_ok : exit_damaged;
}

}  // namespace

constexpr CommandSpec tvcheck{.name = "tvcheck",
                              .summary = "Check a pool's metadata by a full recount.",
                              .operands = operands,
                              .run = run};
static_assert(well_formed(tvcheck));

}  // namespace thinvol
