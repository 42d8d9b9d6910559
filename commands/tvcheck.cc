#include <nlohmann/json.hpp>

#include "commands/metadata_source.h"
#include "commands/table.h"
#include "commands/worker_threads.h"
#include "engine/count_repair.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    device_option,
    {"super-block-only", 0, Value::none, "Check the superblock only."},
    {"skip-mappings", 0, Value::none, "Do not read the mapping trees, and compare no counts."},
    {"metadata-snap", 'm', Value::none, "Check the metadata snapshot, of a device in use too."},
    {"ignore-non-fatal-errors", 0, Value::none, "Leaks do not count as damage."},
    {"clear-needs-check-flag", 0, Value::none, "If all is well, clear needs_check."},
    {"auto-repair", 0, Value::none, "Put leaks and wrong counts right, if that is all."},
    {"json", 0, Value::none, "Write the result as JSON."},
};
constexpr OperandSpec operands[] = {pool_operand};
constexpr Conflict conflicts[] = {
    {"super-block-only", "skip-mappings"},       {"super-block-only", "metadata-snap"},
    {"super-block-only", "auto-repair"},         {"super-block-only", "clear-needs-check-flag"},
    {"skip-mappings", "metadata-snap"},          {"skip-mappings", "auto-repair"},
    {"skip-mappings", "clear-needs-check-flag"}, {"metadata-snap", "auto-repair"},
    {"metadata-snap", "clear-needs-check-flag"},
};
constexpr std::string_view examples[] = {"tvcheck vg0/pool0",
                                         "tvcheck --auto-repair --device metadata.img"};

// As thin_check has it.
constexpr int exit_damaged = 1;

constexpr std::string_view name_of(CheckReport::Severity severity) {
    return severity == CheckReport::Severity::leak          ? "leak"
           : severity == CheckReport::Severity::wrong_count ? "wrong_count"
                                                            : "damage";
}

std::string verdict(const CheckReport& report) {
    if (report.clean()) return "no damage found";
    return fmt::format("{} damaged places, {} wrong counts, {} leaks", report.damages,
                       report.wrong_counts, report.leaks);
}

void write_json(Invocation& call, const std::string& name, const CheckReport& report,
                bool repaired) {
    const Superblock& sb = report.superblock;
    auto findings = nlohmann::json::array();
    for (const auto& f : report.findings)
        findings.push_back({{"severity", name_of(f.severity)}, {"text", f.text}});
    const nlohmann::json json{
        {"name", name},
        {"clean", report.clean()},
        {"repaired", repaired},
        {"needs_check", sb.needs_check},
        {"transaction_id", sb.transaction_id.n},
        {"volumes", report.volumes},
        {"mappings", report.mappings},
        {"data_blocks", sb.data_space_map.blocks},
        {"data_blocks_used", report.data_used},
        {"metadata_blocks", sb.metadata_space_map.blocks},
        {"metadata_blocks_used", report.metadata_used},
        {"damages", report.damages},
        {"wrong_counts", report.wrong_counts},
        {"leaks", report.leaks},
        {"findings", findings},
    };
    call.write(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void write_text(Invocation& call, const std::string& name, const CheckReport& report) {
    if (call.has("quiet")) return;
    const auto complain = [&](std::string_view text) {
        call.fail(Error(Errc::corrupt, fmt::format("{}: {}", name, text)));
    };
    for (const auto& finding : report.findings) complain(finding.text);
    if (report.unlisted > 0) complain(fmt::format("and {} more", report.unlisted));
    if (!report.superblock_valid) return;
    const Superblock& sb = report.superblock;
    call.say("transaction id {}, {} volumes, {} mappings", sb.transaction_id, report.volumes,
             report.mappings);
    if (report.metadata_used > 0) {
        call.say("data blocks      {} of {} in use", report.data_used, sb.data_space_map.blocks);
        call.say("metadata blocks  {} of {} in use", report.metadata_used,
                 sb.metadata_space_map.blocks);
    }
    if (sb.needs_check) call.say("needs_check is set");
    call.say("{}", verdict(report));
}

CheckOptions::Scope scope_of(const Invocation& call) {
    return call.has("super-block-only") ? CheckOptions::Scope::superblock
           : call.has("skip-mappings")  ? CheckOptions::Scope::no_mappings
           : call.has("metadata-snap")  ? CheckOptions::Scope::metadata_snapshot
                                        : CheckOptions::Scope::everything;
}

MetadataAccess access_of(const Invocation& call) {
    if (call.has("auto-repair") || call.has("clear-needs-check-flag"))
        return MetadataAccess::change;
    return call.has("metadata-snap") ? MetadataAccess::read_snapshot : MetadataAccess::read;
}

Result<CheckReport> check(const Invocation& call, BlockQueue& device) {
    WorkerThreads workers;
    return check_metadata(device, {scope_of(call), &workers});
}

int run(Invocation& call) {
    MetadataSource source = TRY_OR_FAIL(call, open_metadata(call, access_of(call)));
    CheckReport report = TRY_OR_FAIL(call, within(source.name, check(call, source.device())));
    const bool repair = call.has("auto-repair") && !report.clean();
    if (repair) {
        if (!call.has("json")) write_text(call, source.name, report);
        TRY_OR_FAIL(call, within(source.name, repair_counts(source.device(), report)));
        report = TRY_OR_FAIL(call, within(source.name, check(call, source.device())));
        if (!call.has("json")) call.say("counts were put right; checked again:");
    } else if (access_of(call) == MetadataAccess::change && report.clean() &&
               report.superblock.needs_check) {
        TRY_OR_FAIL(call, within(source.name, clear_needs_check(source.device(), report)));
        report.superblock.needs_check = false;
    }
    if (call.has("json")) write_json(call, source.name, report, repair);
    else write_text(call, source.name, report);
    const bool only_leaks = report.damages + report.wrong_counts == 0;
    return report.clean() || (call.has("ignore-non-fatal-errors") && only_leaks) ? exit_ok
                                                                                 : exit_damaged;
}

}  // namespace

constexpr CommandSpec tvcheck{.name = "tvcheck",
                              .summary = "Check a pool's metadata by a full recount.",
                              .options = options,
                              .operands = operands,
                              .conflicts = conflicts,
                              .examples = examples,
                              .instead_of_operands = device_option.name,
                              .run = run};
static_assert(well_formed(tvcheck));

}  // namespace thinvol
