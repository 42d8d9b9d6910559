// Goal: a pool in use does what was asked, whatever is asked at once, and says so only when it is
// true.
// Method: random requests and operations over simulated devices that complete out of order, against
// the oracle; power cuts at random positions of the same runs. The large number of cuts is `run
// prove`'s.
#include "engine/pool.h"

#include "tests/support/metadata_fixture.h"
#include "tests/support/sim_run.h"

namespace thinvol {
namespace {

constexpr Workload everything{.name = "everything",
                              .write = 40,
                              .fua = 4,
                              .flush = 8,
                              .discard = 6,
                              .zero = 6,
                              .read = 25,
                              .create = 2,
                              .snapshot = 4,
                              .remove = 3,
                              .trim = 1,
                              .grow_data = 1,
                              .grow_metadata = 1,
                              .commit = 4,
                              .data_blocks = 70,
                              .long_writes = true};
constexpr Workload small_pool{.name = "small pool",
                              .write = 60,
                              .fua = 4,
                              .flush = 6,
                              .discard = 10,
                              .zero = 4,
                              .read = 10,
                              .create = 2,
                              .snapshot = 4,
                              .remove = 4,
                              .trim = 2,
                              .data_blocks = 14};

constexpr Workload queueing{.name = "small pool that waits for space",
                            .write = 60,
                            .fua = 4,
                            .flush = 6,
                            .discard = 12,
                            .zero = 4,
                            .read = 10,
                            .create = 2,
                            .snapshot = 4,
                            .remove = 4,
                            .trim = 2,
                            .grow_data = 1,
                            .commit = 6,
                            .data_blocks = 14,
                            .waits_for_space = true};

void require_none(const std::vector<std::string>& failures) {
    for (const auto& text : failures) UNSCOPED_INFO(text);
    REQUIRE(failures.empty());
}

}  // namespace

TEST_CASE("random requests and operations leave each volume as asked") {
    for (const Workload& workload : {everything, small_pool, queueing}) {
        for (const std::uint64_t seed : test_seeds(25)) {
            CAPTURE(workload.name, seed);
            SimRun run(workload, seed, seed % 3 == 0 ? Sectors(8) : Sectors(1));
            for (int i = 0; i < 6; ++i) {
                run.run(250);
                run.verify_live();
                require_none(run.failures());
                if (i % 2 == 1) run.reopen();
            }
            CHECK(run.flushes_answered() > 0);
        }
    }
}

TEST_CASE("after a power cut anywhere everything promised is there") {
    for (const std::uint64_t seed : test_seeds(4)) {
        CAPTURE(seed);
        SimRun run(everything, seed);
        run.run(150);
        run.drain();
        Random random(seed);
        CrashImages crash(run.trace(), run.initial_images());
        while (!crash.at_end()) {
            crash.step();
            if (!random.one_in(25)) continue;
            for (CrashPolicy policy :
                 {CrashPolicy::none, CrashPolicy::all, CrashPolicy::random, CrashPolicy::torn}) {
                run.verify_cut(crash.cut(policy, random), crash.position());
                require_none(run.failures());
            }
        }
    }
}

}  // namespace thinvol
