#include "commands/group_options.h"
#include "commands/idempotence.h"
#include "commands/table.h"
#include "commands/tagging.h"
#include "libvm/groups.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"physicalextentsize", 's', Value::size,
     "Size of an extent, a multiple of 128 KiB; 4 MiB unless given."},
    set_autoactivation_option,
    allocation_option,
    addtag_option,
    idempotent_option,
};
constexpr OperandSpec operands[] = {
    {"VG", Value::name, "Name of the new volume group."},
    {"PV", Value::any_device, "File or block device that becomes a physical volume of it.", true,
     true},
};
constexpr std::string_view examples[] = {"truncate -s 2G pv0.img && tvgcreate vg0 pv0.img"};

// Whether there is such a group, of just these physical volumes.
Result<bool> is_so(Session& session, const NewGroup& wanted) {
    const auto group = session.catalog.find_group(wanted.name);
    if (!group) return false;
    for (const std::string& path : wanted.pv_paths) TRY(find_pv(session, *group, path));
    return TRY(session.catalog.pvs(group->id)).size() == wanted.pv_paths.size();
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    NewGroup wanted;
    wanted.name = call.operands().front();
    wanted.pv_paths.assign(call.operands().begin() + 1, call.operands().end());
    if (call.has("physicalextentsize")) {
        const SizeArgument size =
            TRY_OR_FAIL(call, parse_size(call.value("physicalextentsize"), 'm'));
        if (size.sign != Sign::none) return call.usage("Size may not have a sign.");
        wanted.extent_size = to_sectors(size.size);
    }
    if (call.has(idempotent_option.name) && TRY_OR_FAIL(call, is_so(session, wanted)))
        return exit_ok;
    const auto result = TRY_OR_FAIL(
        call, create_group(session, wanted, [&](const std::string& q) { return call.confirm(q); }));
    for (const auto& path : result.prepared)
        call.say("Physical volume \"{}\" successfully created.", path);
    for (const auto& warning : result.warnings) call.warn(warning);
    if (has_group_options(call)) {
        const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(wanted.name));
        TRY_OR_FAIL(call, apply_group_options(call, session, group));
    }
    call.say("Volume group \"{}\" successfully created", wanted.name);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvgcreate{.name = "tvgcreate",
                                .summary = "Create a volume group.",
                                .options = options,
                                .operands = operands,
                                .examples = examples,
                                .run = run,
                                .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgcreate));

}  // namespace thinvol
