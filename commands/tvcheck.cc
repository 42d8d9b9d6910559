#include "commands/metadata_source.h"
#include "commands/table.h"
#include "engine/check.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {device_option};
constexpr OperandSpec operands[] = {pool_operand};

// As thin_check has it.
constexpr int exit_damaged = 1;

int run(Invocation& call) {
    MetadataSource source = TRY_OR_FAIL(call, open_metadata(call));
    const CheckReport report =
        TRY_OR_FAIL(call, within(source.name, check_metadata(source.device())));
    for (const auto& finding : report.findings)
        call.fail(Error(Errc::corrupt, fmt::format("{}: {}", source.name, finding.text)));
    if (report.unlisted > 0)
        call.fail(
            Error(Errc::corrupt, fmt::format("{}: and {} more", source.name, report.unlisted)));
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
                              .options = options,
                              .operands = operands,
                              .instead_of_operands = device_option.name,
                              .run = run};
static_assert(well_formed(tvcheck));

}  // namespace thinvol
