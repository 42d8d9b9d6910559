#include "commands/activation.h"
#include "commands/lending.h"
#include "commands/pool_settings.h"
#include "commands/properties.h"
#include "commands/refresh.h"
#include "commands/select.h"
#include "commands/setting_change.h"
#include "commands/table.h"
#include "commands/tagging.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"activate", 'a', Value::activation,
     "y: export the volumes; n: stop exporting them; ay: export those with autoactivation."},
    {"export", 0, Value::export_kinds,
     "With -ay: how the volumes are reached, now and from now on: by NBD, as a block device, "
     "both."},
    {"force", 'f', Value::none,
     "With -an: say what has to end first; and remove devices that no server can go on with."},
    {"all", 0, Value::none, "The volumes of all groups."},
    {"setautoactivation", 0, Value::yes_no, "Whether -aay activates the volumes."},
    {"ignoreactivationskip", 'K', Value::none,
     "Activate volumes that are flagged to be skipped too."},
    {"setactivationskip", 'k', Value::yes_no,
     "Flag the volumes to be skipped by activation, or clear the flag."},
    {"permission", 'p', Value::permission, "Whether the volumes may be written."},
    addtag_option,
    deltag_option,
    zero_option,
    discards_option,
    error_when_full_option,
    no_space_timeout_option,
    SELECT_OPTION,
    setting_option,
    unset_option,
    {"refresh", 0, Value::none,
     "Put the program as it is installed now in the place of the pools' servers; clients go on."},
    {"lend", 0, Value::lend_target, "Leave the pool to the kernel; nothing here touches it."},
    {"return", 0, Value::none, "Take the pool back, once it is decided what is new or gone."},
    {"adopt", 0, Value::text, "With --return, ID=NAME[,SIZE]: a new thin id is this volume.", true},
    {"delete-unknown", 0, Value::text, "With --return, ID: remove this new thin id.", true},
    {"forget", 0, Value::text, "With --return, NAME: remove this volume, which is gone.", true},
    {"accept-transaction-id", 0, Value::text, "With --return: the pool's transaction id as it is."},
};
constexpr Conflict conflicts[] = {
    {"lend", "return"},     {"lend", "activate"}, {"return", "activate"}, {"setting", "activate"},
    {"all", "setting"},     {"all", "unset"},     {"unset", "activate"},  {"refresh", "activate"},
    {"refresh", "setting"}, {"refresh", "lend"},  {"refresh", "return"}};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV|@Tag", Value::group_or_volume,
     "Thin volumes, a group or tag for all of its; or pools, for what is a pool's.", true, true},
};
constexpr std::string_view examples[] = {
    "tvchange -ay vg0/root",
    "tvchange -ay -K vg0/snap",
    "tvchange -ay --export ublk vg0/root",
    "tvchange -an vg0",
    "tvchange --addtag nightly vg0/root",
    "tvchange -an -S lv_tags=nightly",
    "tvchange -aay --all",
    "tvchange --setting autoextend.data_threshold=80 vg0/pool0",
    "tvchange --setting nbd.access=uid:1000=rw vg0/root",
    "tvchange --errorwhenfull y vg0/pool0",
    "tvchange --refresh vg0/pool0",
    "tvchange --lend kernel vg0/pool0",
    "tvchange --return --adopt 7=copy,10g vg0/pool0"};

int change_pools(Invocation& call, Session& session) {
    for (const auto& operand : TRY_OR_FAIL(call, selected_operands(call, Selected::pools))) {
        FoundPool found = TRY_OR_FAIL(call, find_pool(session, operand));
        apply_pool_settings(call, found.pool);
        const auto changed = TRY_OR_FAIL(call, change_pool(session, found.group, found.pool));
        for (const auto& warning : changed.warnings) call.warn(warning);
        call.say("Logical volume {} changed.", found.full_name());
    }
    return exit_ok;
}

int run(Invocation& call) {
    for (const char* option : {"adopt", "delete-unknown", "forget", "accept-transaction-id"}) {
        if (call.has(option) && !call.has("return"))
            return call.usage(fmt::format("--{} goes with --return.", option));
    }
    if (call.has("export") && (!call.has("activate") || call.value("activate") == "n"))
        return call.usage("--export goes with -ay.");
    if (call.has("test") && (call.has("lend") || call.has("return")))
        return call.usage("--lend and --return cannot be tried with --test.");
    if (call.has("lend") || call.has("return")) return change_lending(call);
    if (call.has("refresh")) return refresh_servers(call);
    const bool properties =
        call.has("setactivationskip") || call.has("permission") || call.has("setautoactivation");
    const bool of_pools = has_pool_settings(call);
    const bool of_settings = call.has("setting") || call.has("unset");
    const bool tags = call.has(addtag_option.name) || call.has(deltag_option.name);
    if (!properties && !of_pools && !of_settings && !tags && !call.has("activate"))
        return call.usage(
            "Please give -a, -k, -p, a tag, a setting of a pool, --setting, --refresh, --lend or "
            "--return.");
    if (of_pools && (properties || call.has("activate")))
        return call.usage("Settings of pools are changed by themselves: leave -a, -k and -p.");
    if (of_settings && (properties || of_pools))
        return call.usage("--setting and --unset go by themselves.");
    if (of_settings) return change_settings(call);
    Session session = TRY_OR_FAIL(call, call.session());
    if (tags) TRY_OR_FAIL(call, change_tags(call, session));
    if (of_pools) return change_pools(call, session);
    if (!properties && !call.has("activate")) return exit_ok;
    std::vector<std::string> wanted = TRY_OR_FAIL(call, selected_operands(call, Selected::thins));
    if (call.has("all")) wanted = TRY_OR_FAIL(call, groups_or_all(session, {}));
    const auto volumes = TRY_OR_FAIL(call, find_thins(session, wanted));
    if (volumes.empty()) return exit_ok;
    if (properties) TRY_OR_FAIL(call, change_properties(call, session, volumes));
    if (!call.has("activate")) return exit_ok;
    return change_activation(call, session, volumes);
}

}  // namespace

constexpr CommandSpec tvchange{
    .name = "tvchange",
    .summary = "Activate and deactivate thin volumes, and change their properties.",
    .options = options,
    .operands = operands,
    .conflicts = conflicts,
    .examples = examples,
    .instead_of_operands = "all",
    .run = run,
    .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvchange));

}  // namespace thinvol
