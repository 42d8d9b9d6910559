#include "commands/invocation.h"
#include "commands/table.h"
#include "libvm/pv_lifecycle.h"
#include "libvm/rebuild.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"rebuild", 0, Value::none,
     "Make the groups of these physical volumes anew from the logs on them, where the catalog is "
     "lost or damaged, or lacks them."},
};
constexpr OperandSpec operands[] = {
    {"PV", Value::any_device,
     "Files or devices to look at, and to find again where they were moved.", false, true},
};
constexpr std::string_view examples[] = {"tvgscan pv0.img", "tvgscan --rebuild pv0.img pv1.img"};

int rebuild(Invocation& call) {
    const auto rebuilt = TRY_OR_FAIL(
        call, rebuild_groups(call.environment(), call.operands(),
                             [&](const std::string& question) { return call.confirm(question); }));
    if (!rebuilt.moved_to.empty()) call.say("The damaged catalog is kept as {}", rebuilt.moved_to);
    for (const std::string& warning : rebuilt.warnings) call.warn(warning);
    for (const std::string& name : rebuilt.names)
        call.say("Volume group \"{}\" successfully rebuilt", name);
    return exit_ok;
}

int show_groups(Invocation& call) {
    auto catalog = TRY_OR_FAIL(call, Catalog::open_existing(call.environment()));
    if (!catalog) return exit_ok;
    for (const GroupRow& group : TRY_OR_FAIL(call, catalog->groups()))
        call.say("Found volume group \"{}\"", group.name);
    return exit_ok;
}

// The catalog follows physical volumes that were moved; a copy of one is named.
int follow(Invocation& call, const std::vector<ScannedPv>& pvs) {
    Session session = TRY_OR_FAIL(call, call.session());
    std::vector<MovedPv> moves;
    for (const ScannedPv& pv : pvs) {
        const auto known = TRY_OR_FAIL(call, session.catalog.lookup_pv(uuid_text(pv.label.pv)));
        if (known && known->path != pv.path) moves.push_back({*known, pv.path});
    }
    TRY_OR_FAIL(call, set_pv_paths(session, moves));
    for (const auto& [pv, path] : moves)
        call.say("Physical volume \"{}\" moved to \"{}\"", pv.path, path);
    return exit_ok;
}

// What each label says.
int show_pvs(Invocation& call) {
    auto catalog = TRY_OR_FAIL(call, Catalog::open_existing(call.environment()));
    int status = exit_ok;
    std::vector<ScannedPv> ours;
    for (const std::string& path : call.operands()) {
        auto pv = scan_pv(file_opener(), path, LockKind::shared);
        if (!pv) {
            status = call.fail(pv.error());
            continue;
        }
        const bool here =
            catalog && uuid_text(pv->label.environment) == catalog->environment_uuid();
        call.say("{}: physical volume {} of volume group \"{}\", {}", pv->path,
                 grouped_uuid(uuid_text(pv->label.pv)), pv->label.group_name,
                 here ? "of this environment" : "of another environment");
        if (here) ours.push_back(*std::move(pv));
    }
    return ours.empty() ? status : std::max(status, follow(call, ours));
}

int run(Invocation& call) {
    if (call.has("rebuild")) {
        if (call.operands().empty())
            return call.usage("Please give the physical volumes to rebuild from.");
        return rebuild(call);
    }
    return call.operands().empty() ? show_groups(call) : show_pvs(call);
}

}  // namespace

constexpr CommandSpec tvgscan{
    .name = "tvgscan",
    .summary = "List volume groups, or rebuild them from their physical volumes.",
    .options = options,
    .operands = operands,
    .examples = examples,
    .run = run};
static_assert(well_formed(tvgscan));

}  // namespace thinvol
