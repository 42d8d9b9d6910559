// S11 to S14, S46: requests that fail, devices that lie, and snapshots under a pool in use.
#include <fmt/format.h>

#include <algorithm>

#include "engine/base/crc32c.h"
#include "engine/check.h"
#include "tests/prove/run_end.h"
#include "tests/prove/workloads.h"

namespace thinvol {
namespace {

constexpr std::uint64_t steps = 25;

enum class Fault { once, from_then_on, of_that_device };

// A run in which request `n`, of both devices together, fails. Whether there was one.
bool fail_request(const Workload& workload, std::uint64_t seed, std::uint64_t n, Fault fault,
                  Outcome& outcome) {
    SimRun run(workload, seed);
    std::uint64_t count = 0;
    const SimDevice* failing = nullptr;
    const auto plant = [&](SimDevice& device) {
        device.set_fault([&](const Request&) -> std::optional<Error> {
            ++count;
            if (count == n) failing = &device;
            const bool fails = count == n || (count > n && fault == Fault::from_then_on) ||
                               (failing == &device && fault == Fault::of_that_device);
            if (!fails) return std::nullopt;
            return Error(Errc::io_error, "planted");
        });
    };
    plant(run.metadata());
    plant(run.data());
    run.expect_errors();
    run.run(steps);
    run.drain();
    run.metadata().set_fault(nullptr);
    run.data().set_fault(nullptr);
    judge_end(run, seed + n, outcome);
    if (!run.failures().empty())
        outcome.failure =
            fmt::format("workload \"{}\", --replay {}, request {}: {}; acts: {}", workload.name,
                        seed, n, run.failures().front(), text_of(run.acts()));
    return failing != nullptr;
}

Outcome fail_requests(const Budget& budget, std::span<const Fault> faults) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        const auto all = canonical_workloads();
        std::uint64_t n = 1;
        while (outcome.failure.empty() &&
               fail_request(all[seed % all.size()], seed, n, faults[seed % faults.size()], outcome))
            ++n;
    });
    return outcome;
}

}  // namespace

// A device that is fine again after one error, in each place.
Outcome each_request_fails_once(const Budget& budget) {
    static constexpr Fault faults[] = {Fault::once};
    return fail_requests(budget, faults);
}

Outcome requests_fail_from_one_on(const Budget& budget) {
    static constexpr Fault faults[] = {Fault::from_then_on, Fault::of_that_device};
    return fail_requests(budget, faults);
}

namespace {

// A run in which the nth flush of a device fails. Whether there was one.
bool fail_flush(std::uint64_t seed, bool on_metadata, std::uint64_t n, Outcome& outcome) {
    Workload workload = workload_named("everything");
    workload.lanes = n % 3;
    SimRun run(workload, seed);
    SimDevice& device = on_metadata ? run.metadata() : run.data();
    std::uint64_t countdown = n;
    device.set_fault([&](const Request& r) -> std::optional<Error> {
        // A superblock is written and flushed in one.
        if ((r.op != Op::flush && !r.fua) || countdown == 0) return std::nullopt;
        if (--countdown > 0) return std::nullopt;
        return Error(Errc::io_error, "planted");
    });
    run.expect_errors();
    run.run(60);
    run.drain();
    if (run.pool().mode() == PoolMode::read_only) run.verify_as_on_disk();
    judge_end(run, seed, outcome);
    if (!run.failures().empty())
        outcome.failure =
            fmt::format("flush {} of the {} device, --replay {}: {}", n,
                        on_metadata ? "metadata" : "data", seed, run.failures().front());
    return countdown == 0;
}

}  // namespace

// Each flush of a run fails once; the device is fine afterwards, but for what that flush should
// have covered.
Outcome failed_flushes_stay_failed(const Budget& budget) {
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        for (const bool on_metadata : {true, false}) {
            std::uint64_t n = 1;
            while (outcome.failure.empty() && fail_flush(seed, on_metadata, n, outcome)) ++n;
        }
    });
    return outcome;
}

// --- devices that lie ----------------------------------------------------------------------------

namespace {

// What it says is done, or right, and is not.
bool tell_lie(const Workload& workload, std::uint64_t seed, std::uint64_t n, SimDevice::Lie lie,
              bool on_metadata, Outcome& outcome, std::uint64_t& undetected) {
    SimRun run(workload, seed);
    SimDevice& device = on_metadata ? run.metadata() : run.data();
    device.plant_lie(lie, n);
    run.expect_errors();
    run.run(steps);
    run.drain();
    if (!device.lied()) return false;
    ++outcome.executed;
    outcome.distinct.insert(seed << 32 | n << 8 | static_cast<std::uint64_t>(lie) << 1 |
                            (on_metadata ? 1 : 0));
    const auto noticed = [&] {
        const auto report = check_metadata(run.metadata());
        return !report || !report->clean() || run.pool().mode() >= PoolMode::read_only;
    };
    if (noticed()) return true;
    if (run.failures().empty()) run.verify_live();
    if (run.failures().empty() || noticed()) return true;  // no harm, or noticed once committed
    // Bytes of data have no checksum, and an old metadata block in its own place has a right one.
    const bool listed = !on_metadata || lie != SimDevice::Lie::strayed_write;
    if (listed) ++undetected;
    else
        outcome.failure =
            fmt::format("workload \"{}\", --replay {}, request {}, lie {}: {}", workload.name, seed,
                        n, static_cast<int>(lie), run.failures().front());
    return true;
}

}  // namespace

Outcome lies_are_noticed_or_listed(const Budget& budget) {
    Outcome outcome;
    std::uint64_t undetected = 0;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        const auto all = canonical_workloads();
        const bool on_metadata = seed % 4 != 0;
        for (const auto lie : {SimDevice::Lie::lost_write, SimDevice::Lie::strayed_write,
                               SimDevice::Lie::stale_read}) {
            std::uint64_t n = 1;
            while (outcome.failure.empty() &&
                   tell_lie(all[seed % all.size()], seed, n, lie, on_metadata, outcome, undetected))
                n += 3;
        }
    });
    outcome.value = outcome.failure.empty() ? "0" : "1";
    return outcome;
}

// No power cuts: many writes to few blocks, and snapshots in the middle of them. A write that was
// answered is in its volume, and in every snapshot asked for later.
Outcome snapshots_are_instants(const Budget& budget) {
    const Workload workloads[] = {workload_named("instants"),
                                  workload_named("instants, several threads")};
    Outcome outcome;
    for_cases(budget, 0, outcome, [&](std::uint64_t seed) {
        SimRun run(workloads[seed % std::size(workloads)], seed);
        for (int part = 0; part < 4 && run.failures().empty(); ++part) {
            run.run(60);
            run.verify_live();
            ++outcome.executed;
            outcome.distinct.insert(std::uint64_t{crc32c(run.metadata().image())} << 32 |
                                    crc32c(run.data().image()));
        }
        if (!run.failures().empty())
            outcome.failure = fmt::format("--replay {}: {}", seed, run.failures().front());
    });
    return outcome;
}

}  // namespace thinvol
