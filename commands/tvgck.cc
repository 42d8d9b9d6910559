#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "libvm/group_check.h"
#include "libvm/rebuild.h"

namespace thinvol {
namespace {

constexpr OperandSpec operands[] = {
    {"VG", Value::group, "Groups; all unless given.", false, true},
};

int check_one(Invocation& call, Session& session, const std::string& name) {
    const GroupRow group = TRY_OR_FAIL(call, session.catalog.find_group(name));
    const auto found = TRY_OR_FAIL(call, check_group(session, group));
    for (const std::string& text : found.mended) call.say("{}: {}", name, text);
    for (const std::string& text : found.wrong)
        call.fail(Error(Errc::corrupt, fmt::format("{}: {}", name, text)));
    if (found.wrong.empty() && call.has("verbose")) call.say("Volume group \"{}\" is sound.", name);
    return found.wrong.empty() ? exit_ok : exit_failed;
}

int run(Invocation& call) {
    if (const auto damage = TRY_OR_FAIL(call, catalog_damage(call.environment())))
        return call.fail(*damage);
    Session session = TRY_OR_FAIL(call, call.session());
    const auto names = TRY_OR_FAIL(call, groups_or_all(session, call.operands()));
    int status = exit_ok;
    for (const std::string& name : names) status = std::max(status, check_one(call, session, name));
    return status;
}

}  // namespace

constexpr CommandSpec tvgck{
    .name = "tvgck",
    .summary = "Check volume groups: physical volumes, labels, logs, catalog and pools.",
    .operands = operands,
    .run = run,
    .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvgck));

}  // namespace thinvol
