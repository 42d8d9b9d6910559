// Goal: a volume never has more blocks than its limit, and always gets those reserved for it.
// Method: stories at the bounds, then random histories against a count of mappings.
#include "tests/support/pool_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

constexpr ThinId first = ThinId::checked(0);
constexpr ThinId second = ThinId::checked(1);

struct TwoVolumes : PoolFixture {
    explicit TwoVolumes(std::uint64_t data_blocks) : PoolFixture(failing(), data_blocks) {
        must(operation(CreateThin{second}));
        other = must(pool->open_volume(second, Bytes(volume_blocks * block_bytes.n), false));
    }
    static PoolFeatures failing() {
        PoolFeatures features;
        features.error_if_no_space = true;
        return features;
    }
    Result<> write(Volume* to, std::uint64_t at) {
        volume = to;
        return start(IoKind::write, at)->request.outcome;
    }
    Volume* own = volume;
    Volume* other = nullptr;
};

}  // namespace

TEST_CASE("a volume at its limit takes no new blocks, and all else goes on") {
    TwoVolumes f(64);
    must(f.write(f.own, 0));
    must(f.pool->set_bounds(first, {DataBlocks(3), {}}));
    must(f.write(f.own, 1));
    must(f.write(f.own, 2));
    const auto refused = f.write(f.own, 3);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::out_of_space);
    CHECK(refused.error().text == "thin id 0 has 3 blocks of its own, its limit is 3");
    CHECK(f.pool->mode() == PoolMode::write);
    must(f.write(f.own, 1));
    must(f.write(f.other, 5));
    f.volume = f.own;
    REQUIRE(f.start(IoKind::discard, 0)->request.outcome.has_value());
    must(f.write(f.own, 3));
    must(f.pool->set_bounds(first, {DataBlocks(4), {}}));
    must(f.write(f.own, 4));
    CHECK_FALSE(f.write(f.own, 5).has_value());
    CHECK(must(f.pool->own_blocks(first)) == DataBlocks(4));
    must(f.pool->set_bounds(first, {}));
    must(f.write(f.own, 5));
    CHECK(f.pool->own_blocks(first).error().text == "thin id 0 has no bounds set");
}

TEST_CASE("what is reserved for a volume is not given to another") {
    TwoVolumes f(16);
    must(f.pool->set_bounds(first, {{}, DataBlocks(6)}));
    must(f.write(f.own, 0));
    std::uint64_t given = 0;
    while (f.write(f.other, given)) ++given;
    CHECK(given == 10);
    for (std::uint64_t at = 1; at < 6; ++at) must(f.write(f.own, at));
    CHECK_FALSE(f.write(f.own, 6).has_value());
    CHECK(f.pool->mode() == PoolMode::out_of_data_space);
}

TEST_CASE("a snapshot inherits nothing that counts; what it breaks from its origin does") {
    TwoVolumes f(64);
    for (std::uint64_t at = 0; at < 5; ++at) must(f.write(f.own, at));
    const ThinId snapshot = ThinId::checked(7);
    must(f.operation(CreateSnapshot{snapshot, first}));
    must(f.pool->set_bounds(snapshot, {DataBlocks(1), {}}));
    CHECK(must(f.pool->own_blocks(snapshot)) == DataBlocks(0));
    Volume* v = must(f.pool->open_volume(snapshot, Bytes(volume_blocks * block_bytes.n), false));
    must(f.write(v, 2));
    CHECK(must(f.pool->own_blocks(snapshot)) == DataBlocks(1));
    CHECK_FALSE(f.write(v, 3).has_value());
    must(f.write(v, 2));
}

TEST_CASE("the count of own blocks is exact after any history") {
    for (const std::uint64_t seed : test_seeds(10)) {
        CAPTURE(seed);
        Random random(seed);
        TwoVolumes f(64);
        must(f.pool->set_bounds(first, {DataBlocks(1000), {}}));
        std::uint32_t next = 10;
        for (int i = 0; i < 200; ++i) {
            f.volume = f.own;
            const std::uint64_t at = random.below(20);
            if (random.one_in(8) && next < 16)
                must(f.operation(CreateSnapshot{ThinId::checked(next++), first}));
            else if (random.one_in(3)) f.start(IoKind::discard, at, 1 + random.below(3));
            else f.start(IoKind::write, at);
        }
        // Counted anew from the mappings, which is what setting bounds does.
        const DataBlocks kept = must(f.pool->own_blocks(first));
        must(f.pool->set_bounds(first, {}));
        must(f.pool->set_bounds(first, {DataBlocks(1000), {}}));
        CHECK(must(f.pool->own_blocks(first)) == kept);
        CHECK(kept.n == must(f.pool->volume_use(first)).mapped);
    }
}

}  // namespace thinvol
