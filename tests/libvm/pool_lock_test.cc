// Goal: a pool has one owner, whoever else comes.
// Method: two sessions of one catalog over simulated physical volumes; the locks are real files.
#include "libvm/pool_access.h"
#include "libvm/volumes.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/sim_world.h"

namespace thinvol {

TEST_CASE("H24: a pool is not active twice, and the second one writes nothing") {
    constexpr Sectors extent{512};
    SimWorld world(1, pv_data_start + extent * 40, 1);
    Session first = must(world.session());
    const auto never_ask = [](const std::string&) { return false; };
    must(create_group(first, {"vg0", {SimWorld::pv_path(0)}, extent}, never_ask));
    const GroupRow group = must(first.catalog.find_group("vg0"));
    NewPool wanted;
    wanted.name = "pool0";
    wanted.data = Extents(3);
    must(create_pool(first, group, wanted));
    const PoolRow row = must(first.catalog.pool(must(first.catalog.find_lv(group, "pool0")).id));

    auto owner = must(LocalPool::open(first, group, row));
    Session second = must(world.session());
    const std::size_t writes = world.trace().writes.size();
    const auto refused = LocalPool::open(second, group, row);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::busy);
    CHECK(world.trace().writes.size() == writes);
    owner.reset();
    CHECK(LocalPool::open(second, group, row).has_value());
}

}  // namespace thinvol
