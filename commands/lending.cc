#include "commands/lending.h"

#include "commands/lookup.h"
#include "commands/select.h"
#include "libvm/pool_lending.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

// ID=NAME[,SIZE]
Result<PoolDecisions::Adoption> adoption(std::string_view text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos)
        return Error(Errc::invalid_argument,
                     fmt::format("--adopt: \"{}\" is not of the form ID=NAME[,SIZE]", text));
    const std::size_t comma = text.find(',', equals);
    PoolDecisions::Adoption a;
    a.id = TRY(ThinId::from(TRY(within("--adopt", parse_number(text.substr(0, equals))))));
    a.name = text.substr(equals + 1, comma == std::string_view::npos ? comma : comma - equals - 1);
    if (comma != std::string_view::npos) a.size = TRY(parse_size(text.substr(comma + 1), 'm')).size;
    return a;
}

int lend(Invocation& call, Session& session, const FoundPool& found) {
    TRY_OR_FAIL(call, lend_pool(session, found.group, found.pool, LentTo::kernel));
    call.say("Thin pool {} is lent to the kernel; tvdmtable prints its tables.", found.full_name());
    return exit_ok;
}

int take_back(Invocation& call, Session& session, const FoundPool& found) {
    const PoolDecisions decisions = TRY_OR_FAIL(call, decisions_of(call));
    const ReturnedPool returned =
        TRY_OR_FAIL(call, return_pool(session, found.group, found.pool, decisions));
    for (const std::string& text : returned.warnings) call.warn(text);
    for (const std::string& text : returned.undecided)
        call.fail(Error(Errc::invalid_argument, fmt::format("{}: {}", found.full_name(), text)));
    if (!returned.undecided.empty()) return exit_failed;
    call.say("Thin pool {} is back.", found.full_name());
    return exit_ok;
}

}  // namespace

Result<PoolDecisions> decisions_of(const Invocation& call) {
    PoolDecisions decisions;
    for (const std::string& text : call.values("adopt"))
        decisions.adopt.push_back(TRY(adoption(text)));
    for (const std::string& text : call.values("delete-unknown"))
        decisions.remove.push_back(
            TRY(ThinId::from(TRY(within("--delete-unknown", parse_number(text))))));
    decisions.forget = call.values("forget");
    if (call.has("accept-transaction-id"))
        decisions.accept.emplace(TRY(
            within("--accept-transaction-id", parse_number(call.value("accept-transaction-id")))));
    return decisions;
}

int change_lending(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    int status = exit_ok;
    for (const auto& operand : TRY_OR_FAIL(call, selected_operands(call, Selected::pools))) {
        const FoundPool found = TRY_OR_FAIL(call, find_pool(session, operand));
        const int ended =
            call.has("lend") ? lend(call, session, found) : take_back(call, session, found);
        status = std::max(status, ended);
    }
    return status;
}

}  // namespace thinvol
