// `thinvol events`: what happened to a pool that is in use: modes, low water, fill levels.
#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "libvm/pool_request.h"
#include "libvm/times.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"follow", 'f', Value::none, "Go on as long as the pool is served."},
    {"json", 0, Value::none, "An object a line."},
};
constexpr OperandSpec operands[] = {{"VG/Pool", Value::pool, "Pool, active."}};

constexpr std::uint64_t wait_ms = 60'000;

void show(Invocation& call, const LoggedEvent& e) {
    if (call.has("json")) return call.write(to_json(e) + "\n");
    std::string what = e.kind == "mode" ? "mode " + e.mode : e.kind;
    if (e.percent > 0) what += fmt::format(" {}%", e.percent);
    call.write(fmt::format("  {} {}{}{}\n", format_time(e.time), what, e.text.empty() ? "" : ": ",
                           e.text));
}

int run(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundPool found = TRY_OR_FAIL(call, find_pool(session, call.operands().front()));
    std::uint64_t last = 0;
    for (bool first = true;; first = false) {
        const auto answer = TRY_OR_FAIL(
            call, ask_if_served(session.environment, found.pool,
                                new_request(WaitEventsRequest{last, first ? 0 : wait_ms})));
        if (!answer && first)
            return call.fail(
                Error(Errc::not_found,
                      fmt::format("{}: no volume of it is active, so that nothing happens "
                                  "to it: activate one with tvchange -ay",
                                  found.full_name())));
        if (!answer) return exit_ok;
        for (const LoggedEvent& event : answer->events) {
            show(call, event);
            last = event.number;
        }
        if (!call.has("follow")) return exit_ok;
    }
}

}  // namespace

constexpr CommandSpec events_command{.name = "events",
                                     .summary = "Show what happened to a pool in use.",
                                     .options = options,
                                     .operands = operands,
                                     .run = run,
                                     .test_mode = TestMode::harmless};
static_assert(well_formed(events_command));

}  // namespace thinvol
