#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "libvm/durable_file.h"
#include "libvm/group_archive.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"file", 'f', Value::file,
     "File to write, %s being the group's name; `backup/VG` of the state directory unless given."},
};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Groups; all unless given.", false, true},
};
constexpr std::string_view examples[] = {"tvgcfgbackup -f /mnt/backup/%s.rows"};

Result<> back_up(Invocation& call, Session& session, const GroupRow& group) {
    std::string file = call.value_or("file", "");
    if (file.empty()) {
        const auto directory = call.environment().state_dir / "backup";
        TRY(make_private_directory(directory));
        file = directory / group.name;
    }
    if (const std::size_t at = file.find("%s"); at != std::string::npos)
        file.replace(at, 2, group.name);
    TRY(replace_file(file, TRY(backup_text(session, group))));
    call.say("Volume group \"{}\" successfully backed up.", group.name);
    return {};
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    std::vector<GroupRow> groups;
    for (const auto& name : TRY_OR_FAIL(call, groups_or_all(session, call.operands())))
        groups.push_back(TRY_OR_FAIL(call, session.catalog.find_group(name)));
    if (groups.size() > 1 && call.has("file") && !call.value("file").contains("%s"))
        return call.usage("One file for several groups: put %s into its name.");
    for (const GroupRow& group : groups) TRY_OR_FAIL(call, back_up(call, session, group));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgcfgbackup{
    .name = "tvgcfgbackup",
    .summary = "Save what the catalog knows of volume groups; not their pools' metadata.",
    .options = options,
    .operands = operands,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvgcfgbackup));

}  // namespace thinvol
