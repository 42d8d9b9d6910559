#include <fmt/chrono.h>

#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/group_archive.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"file", 'f', Value::file,
     "Backup to restore; `backup/VG` of the state directory unless given."},
    {"list", 'l', Value::none, "List the automatic backups: the state after each change."},
    {"at", 0, Value::number, "Restore the state after the change with this number, as listed."},
    {"force", 0, Value::none, "Restore a group with thin pools, whose metadata are in no backup."},
};
constexpr Conflict conflicts[] = {{"file", "list"}, {"at", "list"}};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Volume group, which may have been removed."},
};
constexpr std::string_view examples[] = {"tvgcfgrestore --list vg0",
                                         "tvgcfgrestore --at 117 --force vg0",
                                         "tvgcfgrestore -f /mnt/backup/vg0.rows vg0"};

std::string brief(const std::vector<std::string>& differences) {
    constexpr std::size_t most = 2;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, differences.size()); ++i)
        text += (i == 0 ? "" : "; ") + differences[i];
    if (differences.size() > most) text += fmt::format("; and {} more", differences.size() - most);
    return text;
}

int list(Invocation& call, Session& session, const std::string& group) {
    std::string file;
    for (const ArchivedStep& step : TRY_OR_FAIL(call, archived_steps(session, group))) {
        if (step.file != file) call.write(fmt::format("  {}\n", step.file));
        file = step.file;
        call.write(fmt::format("  {:>8}  {:%Y-%m-%d %H:%M:%S}  {}\n", step.change,
                               fmt::localtime(static_cast<std::time_t>(step.time)),
                               brief(step.differences)));
    }
    return exit_ok;
}

// The file that has the state after a change.
Result<std::string> file_with(Session& session, const std::string& group, std::int64_t change) {
    for (const ArchivedStep& step : TRY(archived_steps(session, group))) {
        if (step.change == change) return step.file;
    }
    return Error(Errc::not_found, fmt::format("no automatic backup of volume group \"{}\" has "
                                              "change {}: tvgcfgrestore --list {}",
                                              group, change, group));
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const std::string& name = call.operands().front();
    if (call.has("list")) return list(call, session, name);
    std::optional<std::int64_t> change;
    std::string file = call.value_or("file", "");
    if (call.has("at")) {
        change = static_cast<std::int64_t>(TRY_OR_FAIL(call, parse_number(call.value("at"))));
        if (file.empty()) file = TRY_OR_FAIL(call, file_with(session, name, *change));
    }
    if (file.empty()) file = call.environment().state_dir / "backup" / name;
    const BackedUp backup = TRY_OR_FAIL(call, read_backup(file, change));
    if (backup.rows.name() != name)
        return call.fail(Error(Errc::invalid_argument, fmt::format("{} is of volume group \"{}\"",
                                                                   file, backup.rows.name())));
    for (const std::string& warning :
         TRY_OR_FAIL(call, restore_group(session, backup, call.has("force"))))
        call.warn(warning);
    call.say("Restored volume group {}.", name);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgcfgrestore{.name = "tvgcfgrestore",
                                    .summary = "Restore what the catalog knew of a volume group.",
                                    .options = options,
                                    .operands = operands,
                                    .conflicts = conflicts,
                                    .examples = examples,
                                    .run = run};
static_assert(well_formed(tvgcfgrestore));

}  // namespace thinvol
