// Goal: freed blocks come back to the metadata that freed them, when nobody can be reading them any
// more, and to no others.
// Method: a reclaimer by itself; what it discards is seen on the data device, what it hands back in
// the space map.
#include "engine/reclaimer.h"

#include <algorithm>

#include "engine/thin_metadata.h"
#include "tests/support/memory_queue.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

struct Fixture {
    static constexpr Sectors block{128};
    static constexpr std::uint64_t blocks = 16;

    MemoryQueue device{Sectors(128 * 8)};
    MemoryQueue data{block * blocks};
    EpochTracker epochs;
    Lanes lanes;
    KnownZero known_zero{data, block};
    Reclaimer reclaimer{data, epochs, lanes, known_zero, block};
    std::unique_ptr<ThinMetadata> md =
        must(ThinMetadata::format(device, block, DataBlocks(blocks), {}));

    // All blocks are in use but these two, which a durable commit freed.
    std::vector<DataBlock> freed() {
        const ThinId id = ThinId::checked(0);
        must(md->create_thin(id));
        for (std::uint64_t at = 0; at < blocks; ++at)
            must(md->insert(*must(md->device(id)), VirtualBlock(at), must(md->reserve())));
        commit(*md, device);
        must(md->unmap(*must(md->device(id)), VirtualBlock(3), VirtualBlock(5), ~0ULL));
        return md->settle(must(md->seal()));
    }
    void run() {
        while (reclaimer.run_once(*md, false)) {}
    }
};

}  // namespace

TEST_CASE("freed blocks come back when the requests have ended that were in flight then") {
    Fixture f;
    const std::uint64_t request = f.epochs.enter();
    f.reclaimer.add(f.freed());
    f.run();
    CHECK_FALSE(f.reclaimer.idle());
    CHECK_FALSE(f.md->reserve().has_value());
    f.epochs.leave(request);
    f.run();
    CHECK(f.reclaimer.idle());
    CHECK(must(f.md->reserve()) == DataBlock(3));
    CHECK(must(f.md->reserve()) == DataBlock(4));
}

TEST_CASE("metadata that were opened anew are owed nothing: no block of theirs is discarded") {
    Fixture f;
    std::ranges::fill(f.data.bytes(), std::byte{7});
    const std::uint64_t request = f.epochs.enter();
    f.reclaimer.add(f.freed());  // waits for the request
    f.reclaimer.forget();
    f.epochs.leave(request);
    f.run();
    CHECK(f.reclaimer.idle());
    CHECK(std::ranges::count(f.data.bytes(), std::byte{7}) == std::ssize(f.data.bytes()));
    CHECK_FALSE(f.md->reserve().has_value());
}

}  // namespace thinvol
