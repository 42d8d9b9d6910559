#include "commands/idempotence.h"
#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {idempotent_option};
constexpr OperandSpec operands[] = {
    {"VG/LV", Value::volume,
     "Thin volume or pool, in use or not: its URI has the new name at once, and clients that are "
     "connected stay so; or the group, followed by the old and the new name."},
    {"NewName", Value::name, "Its new name, with or without the group."},
    {"NewName", Value::name, "The new name, where the group was given by itself.", false},
};

constexpr std::string_view examples[] = {"tvrename vg0/root vg0/old", "tvrename vg0 root old"};

int run(Invocation& call) {
    const auto& words = call.operands();
    const std::string old_name = words.size() == 3 ? words[0] + "/" + words[1] : words[0];
    std::string new_name = words.back();
    Session session = TRY_OR_FAIL(call, call.session());
    if (call.has(idempotent_option.name) && !find_volume(session, old_name)) {
        const Reference old = TRY_OR_FAIL(call, parse_volume_reference(old_name));
        const bool full = new_name.find('/') != std::string::npos;
        TRY_OR_FAIL(call, find_volume(session, full ? new_name : old.group + "/" + new_name));
        return exit_ok;
    }
    const FoundVolume found = TRY_OR_FAIL(call, find_volume(session, old_name));
    if (new_name.find('/') != std::string::npos) {
        const Reference reference = TRY_OR_FAIL(call, parse_volume_reference(new_name));
        if (reference.group != found.group.name) {
            return call.usage(fmt::format("A volume keeps its group: \"{}\" is in {}, not in {}.",
                                          old_name, found.group.name, reference.group));
        }
        new_name = reference.volume;
    }
    const auto result = TRY_OR_FAIL(call, rename_volume(session, found.group, found.lv, new_name));
    for (const auto& warning : result.warnings) call.warn(warning);
    call.say("Renamed \"{}\" to \"{}\" in volume group \"{}\"", found.lv.name, new_name,
             found.group.name);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvrename{.name = "tvrename",
                               .summary = "Rename a thin volume or a pool.",
                               .options = options,
                               .operands = operands,
                               .examples = examples,
                               .run = run,
                               .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvrename));

}  // namespace thinvol
