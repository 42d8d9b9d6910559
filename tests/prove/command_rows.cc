// S33: power cuts at every step of every command, over catalog, WAL and physical volumes.
#include <fmt/format.h>

#include <algorithm>

#include "engine/base/crc32c.h"
#include "tests/prove/rows.h"
#include "tests/support/command_script.h"
#include "tests/support/crash_images.h"

namespace thinvol {
namespace {

struct Milestone {
    std::size_t position;
    std::string state;
};

}  // namespace

Outcome commands_are_whole(const Budget& budget) {
    Outcome outcome;
    constexpr CrashPolicy policies[] = {CrashPolicy::none, CrashPolicy::all, CrashPolicy::random,
                                        CrashPolicy::prefix};
    const auto script = command_script();
    SimWorld world(2, script_pv_size, budget.seed);
    const auto fail = [&](const std::string& text) {
        outcome.failure = fmt::format("seed {}: {}", budget.seed, text);
        return outcome;
    };
    if (auto first = world.session(); !first)
        return fail(first.error().text);  // the catalog itself
    world.trace() = Trace();
    const auto initial = world.images();
    std::vector<Milestone> milestones{{0, ""}};
    for (const CommandStep& step : script) {
        auto session = world.session();
        if (!session) return fail(session.error().text);
        if (auto ran = step.run(*session); !ran)
            return fail(fmt::format("{}: {}", step.name, ran.error().text));
        auto state = visible_state(*session);
        if (!state) return fail(state.error().text);
        milestones.push_back({world.trace().position(), *state});
    }
    Random random(budget.seed);
    const std::uint64_t total = world.trace().events.size() * std::size(policies);
    const std::uint64_t every = std::max<std::uint64_t>(1, total / budget.states);
    std::uint64_t skip = 0;
    CrashImages crash(world.trace(), initial);
    while (!crash.at_end()) {
        crash.step();
        const auto end =
            std::find_if(milestones.begin(), milestones.end(),
                         [&](const Milestone& m) { return crash.position() <= m.position; });
        const auto i = static_cast<std::size_t>(end - milestones.begin()) - 1;
        for (const CrashPolicy policy : policies) {
            if (skip-- > 0) continue;
            skip = every - 1;
            const auto images = crash.cut(policy, random);
            SimWorld after(images, budget.seed);
            const auto verdict =
                check_step(after, script[i], milestones[i].state, milestones[i + 1].state);
            ++outcome.executed;
            std::uint64_t id = 0;
            for (const auto& image : images) id = id * 0x9e3779b97f4a7c15ULL + crc32c(image);
            outcome.distinct.insert(id);
            if (!verdict)
                return fail(fmt::format("{}, power cut at {} (policy {}): {}", script[i].name,
                                        crash.position(), static_cast<int>(policy),
                                        verdict.error().text));
        }
    }
    return outcome;
}

}  // namespace thinvol
