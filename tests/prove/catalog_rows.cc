// S34: each call of the catalog's files fails in turn, or lies, while commands run.
#include <fmt/format.h>

#include <algorithm>

#include "libvm/reconcile.h"
#include "tests/prove/rows.h"
#include "tests/support/command_script.h"
#include "tests/support/crash_images.h"

namespace thinvol {
namespace {

using Kind = CatalogFault::Kind;

// How the next command finds what is left.
enum class Ending : std::uint8_t { process, beside_others, power_cut };

struct Mode {
    Kind kind;
    bool on;
    Ending ending;
    const char* name;
};
// What a flush did that lies is seen only when the power is cut.
constexpr Mode modes[] = {
    {Kind::fails, false, Ending::process, "fails once"},
    {Kind::fails, false, Ending::beside_others, "fails once, others having it open"},
    {Kind::fails, false, Ending::power_cut, "fails once, then the power is cut"},
    {Kind::fails, true, Ending::process, "fails from there on"},
    {Kind::fails, true, Ending::beside_others, "fails from there on, others having it open"},
    {Kind::fails, true, Ending::power_cut, "fails from there on, then the power is cut"},
    {Kind::no_space, false, Ending::process, "has no space"},
    {Kind::no_space, true, Ending::process, "has no space from there on"},
    {Kind::no_space, true, Ending::beside_others, "has no space, others having it open"},
    {Kind::tears, false, Ending::process, "tears"},
    {Kind::tears, false, Ending::beside_others, "tears, others having it open"},
    {Kind::tears, true, Ending::power_cut, "tears from there on, then the power is cut"},
    {Kind::lies, false, Ending::power_cut, "lies, then the power is cut"},
    {Kind::lies, true, Ending::power_cut, "lies from there on, then the power is cut"},
};

struct Stage {
    std::vector<std::vector<std::byte>> images;
    std::string before, after;
    std::uint64_t calls[std::size(modes)] = {};
};

class CatalogFaults {
public:
    explicit CatalogFaults(const Budget& budget) : budget_(budget) {}

    Result<> record();
    Outcome run();

private:
    Result<> one(const Stage& stage, const CommandStep& step, const Mode& mode, std::uint64_t at);
    Result<std::string> strike(SimWorld& world, const CommandStep& step, const Mode& mode,
                               std::uint64_t at, bool& succeeded) const;

    Budget budget_;
    std::vector<Stage> stages_;
    Outcome outcome_;
};

// The script without a fault: what there is before and after each step, and how many calls.
Result<> CatalogFaults::record() {
    SimWorld world(2, script_pv_size, budget_.seed);
    for (const CommandStep& step : command_script()) {
        Stage stage;
        stage.images = world.images();
        stage.before = stages_.empty() ? "" : stages_.back().after;
        Session s = TRY(world.session());
        TRY(within(step.name, step.run(s)));
        stage.after = TRY(visible_state(s));
        for (std::size_t m = 0; m < std::size(modes); ++m) {
            const auto same = std::ranges::find(modes, modes[m].kind, &Mode::kind) - modes;
            stage.calls[m] = stage.calls[same];
            if (static_cast<std::size_t>(same) < m) continue;
            SimWorld counted(stage.images, budget_.seed);
            counted.plan(CatalogFault{modes[m].kind, 0, false});
            Session counting = TRY(counted.session());
            TRY(within(step.name, step.run(counting)));
            stage.calls[m] = counted.calls();
        }
        stages_.push_back(std::move(stage));
    }
    return {};
}

// What the command said, which began with the catalog as others left it.
Result<std::string> CatalogFaults::strike(SimWorld& world, const CommandStep& step,
                                          const Mode& mode, std::uint64_t at,
                                          bool& succeeded) const {
    const auto opening =
        mode.ending == Ending::beside_others ? Opening::beside_others : Opening::alone;
    world.plan(CatalogFault{mode.kind, at, mode.on});
    Result<> ran;
    {
        auto s = world.session(opening);
        ran = s ? step.run(*s) : Result<>(s.error());
    }
    const bool failed = world.failed();
    world.plan(std::nullopt);
    succeeded = ran.has_value();
    if (!ran && !failed) return Error(Errc::corrupt, "it failed of itself: " + ran.error().text);
    return ran ? "" : ran.error().text;
}

// A catalog that lost what a flush had promised is older than the logs: taken over from there.
Result<> reconcile(SimWorld& world) {
    Session s = TRY(world.session());
    for (const GroupRow& group : TRY(s.catalog.groups())) {
        const auto newer = TRY(newer_rows(s, group));
        if (newer) TRY(within("taking over what the log knows", take_newer_rows(s, *newer)));
    }
    return {};
}

Result<> CatalogFaults::one(const Stage& stage, const CommandStep& step, const Mode& mode,
                            std::uint64_t at) {
    SimWorld world(stage.images, budget_.seed);
    std::optional<Session> other;
    const bool beside = mode.ending == Ending::beside_others;
    if (beside) {
        other.emplace(TRY(world.session()));
        TRY(other->catalog.groups());
    }
    bool succeeded = false;
    const std::string said = TRY(strike(world, step, mode, at, succeeded));
    if (!succeeded && said.find("catalog") == std::string::npos)
        return Error(Errc::corrupt, "its error does not name the catalog: " + said);
    const bool lies = mode.kind == Kind::lies;
    const std::string& before = succeeded && !lies ? stage.after : stage.before;
    if (mode.ending != Ending::power_cut)
        return check_step(world, step, before, stage.after,
                          beside ? Opening::beside_others : Opening::alone);
    CrashImages crash(world.trace(), stage.images);
    while (!crash.at_end()) crash.step();
    Random random(budget_.seed + at);
    SimWorld left(crash.cut(lies ? CrashPolicy::none : CrashPolicy::random, random), budget_.seed);
    if (!lies) return check_step(left, step, before, stage.after);
    TRY(reconcile(left));
    auto verdict = check_step(left, step, before, stage.after);
    // Labels that were wiped after a removal that the catalog does not know: noticed, and said.
    if (!verdict && verdict.error().text.find("it is not a physical volume") != std::string::npos)
        return {};
    return verdict;
}

Outcome CatalogFaults::run() {
    constexpr std::uint64_t spread = 1000003;  // a prime
    struct Case {
        std::size_t stage, mode;
        std::uint64_t at;
    };
    std::vector<Case> cases;
    // Where nothing of a first catalog is left, its environment is another one the next time.
    for (const Mode& mode : modes) {
        if (mode.kind == Kind::lies) stages_.front().calls[&mode - modes] = 0;
    }
    for (std::size_t i = 0; i < stages_.size(); ++i)
        for (std::size_t m = 0; m < std::size(modes); ++m)
            for (std::uint64_t at = 1; at <= stages_[i].calls[m]; ++at) cases.push_back({i, m, at});
    for_cases(budget_, 0, outcome_, [&](std::uint64_t number) {
        const std::uint64_t which = number * spread % cases.size();
        const Case& c = cases[which];
        const CommandStep& step = command_script()[c.stage];
        const auto verdict = one(stages_[c.stage], step, modes[c.mode], c.at);
        ++outcome_.executed;
        outcome_.distinct.insert(which);
        if (!verdict)
            outcome_.failure =
                fmt::format("--replay {}: {}: call {} of {} {}: {} ({} cases in all)", number,
                            step.name, c.at, stages_[c.stage].calls[c.mode], modes[c.mode].name,
                            verdict.error().text, cases.size());
    });
    return outcome_;
}

}  // namespace

Outcome catalog_files_fail(const Budget& budget) {
    CatalogFaults faults(budget);
    if (auto recorded = faults.record(); !recorded) {
        Outcome outcome;
        outcome.failure = recorded.error().text;
        return outcome;
    }
    return faults.run();
}

}  // namespace thinvol
