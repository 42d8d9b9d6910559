// Goal: a group's rows tell the same group again, in an empty catalog or beside others; what
// differs is told; what does not belong together is refused. Method: catalogs in temporary
// directories; rows taken from one and installed in another.
#include "libvm/group_rows.h"

#include <catch2/matchers/catch_matchers_string.hpp>

#include "libvm/tags.h"
#include "libvm/uuid.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Home {
    TemporaryDirectory dir;
    Environment environment;
    Catalog catalog;

    Home() : environment{dir.path() / "state", {}, {}, {}, {}}, catalog(open()) {}
    Catalog open() const { return must(Catalog::open(environment)); }

    // A group with a pool and a volume with a snapshot.
    std::int64_t make(const std::string& name) {
        auto transaction = must(catalog.begin());
        GroupRow group{0, new_uuid(), name, Sectors(2048), 1};
        group.id = must(catalog.add_group(group));
        PvRow pv;
        pv.vg_id = group.id;
        pv.uuid = new_uuid();
        pv.path = "/" + name;
        pv.extents = Extents(100);
        pv.id = must(catalog.add_pv(pv));
        PoolRow pool;
        pool.lv = {0, group.id, new_uuid(), "pool0", LvKind::pool};
        pool.chunk_size = Sectors(128);
        pool.next_thin_id = 9;
        pool.lv.id = must(catalog.add_pool(pool));
        must(catalog.add_segment({0, group.id, pool.lv.id, SegmentRole::data, Extents(0),
                                  Extents(10), pv.id, Extent(5), false}));
        ThinRow thin;
        thin.lv = {0, group.id, new_uuid(), "a", LvKind::thin};
        thin.pool_id = pool.lv.id;
        thin.size = Bytes(1 << 20);
        thin.origin_id = must(catalog.add_thin(thin));
        thin.lv.uuid = new_uuid();
        thin.lv.name = "s";
        thin.thin_id = ThinId::checked(1);
        must(catalog.add_thin(thin));
        must(add_tag(catalog, {group.id, pv.id}, "fast"));
        must(std::move(transaction).commit());
        return group.id;
    }
    GroupRows rows(std::int64_t id) { return must(GroupRows::of(catalog, id)); }
    Result<std::int64_t> install(const GroupRows& rows) {
        auto transaction = must(catalog.begin());
        auto id = install_group(catalog, rows, 1000);
        if (id) must(std::move(transaction).commit());
        return id;
    }
};

TEST_CASE("rows tell their group again in an empty catalog, numbered on") {
    Home from;
    Home to;
    const GroupRows rows = from.rows(from.make("vg0"));
    const std::int64_t id = must(to.install(rows));
    CHECK(differences(rows, to.rows(id)).empty());
    CHECK(must(to.catalog.last_change(id)) > 1000);
    CHECK_FALSE(must(to.catalog.changes_after(id, 1000)).has_value());
    // And in its own place.
    CHECK(must(to.install(rows)) == id);
    CHECK(differences(rows, to.rows(id)).empty());
}

TEST_CASE("beside another group the ids move, and still belong together") {
    Home from;
    Home to;
    const GroupRows rows = from.rows(from.make("vg0"));
    const std::int64_t other = to.make("vg1");
    const GroupRows before = to.rows(other);
    const std::int64_t id = must(to.install(rows));
    CHECK(id != other);
    CHECK(differences(before, to.rows(other)).empty());
    const auto pools = must(to.catalog.pools(id));
    REQUIRE(pools.size() == 1);
    CHECK(pools[0].next_thin_id == 9);
    const auto thins = must(to.catalog.thins_of_pool(pools[0].lv.id));
    REQUIRE(thins.size() == 2);
    CHECK(thins[1].origin_id == thins[0].lv.id);
    CHECK(must(find_tagged(to.catalog, "fast")).size() == 2);
    // The same name a second time is another group's.
    Home third;
    const auto refused = to.install(third.rows(third.make("vg1")));
    REQUIRE_FALSE(refused.has_value());
    CHECK_THAT(refused.error().text, ContainsSubstring("rename it first"));
}

TEST_CASE("an operation half done does not move to other ids") {
    Home from;
    Home to;
    const std::int64_t id = from.make("vg0");
    const std::int64_t pool = must(from.catalog.pools(id))[0].lv.id;
    must(from.catalog.set_pending({pool, new_uuid(), {1}, {2}, "{}", "{}"}));
    const GroupRows rows = from.rows(id);
    to.make("vg1");
    CHECK(to.install(rows).error().code == Errc::busy);
    CHECK(must(to.catalog.groups()).size() == 1);
}

TEST_CASE("what differs is told by name, once a volume") {
    Home home;
    const std::int64_t id = home.make("vg0");
    const GroupRows before = home.rows(id);
    const auto thins = must(home.catalog.thins(id));
    must(home.catalog.rename_lv(thins[0].lv.id, "b"));
    must(home.catalog.remove_lv(thins[1].lv.id));
    const GroupRows after = home.rows(id);
    CHECK(differences(before, after) ==
          std::vector<std::string>{"gone: volume s (thin id 1, 1.00 MiB)",
                                   "changed: volume a (thin id 0, 1.00 MiB): name a -> b"});
    CHECK(differences(after, before).front() ==
          "changed: volume b (thin id 0, 1.00 MiB): name b -> a");
}

TEST_CASE("text that is no group's rows is refused") {
    const std::string vg = R"({"t":"vg","r":{"id":1,"uuid":"u","name":"n"}})";
    const std::pair<std::vector<std::string>, Errc> bad[] = {
        {{}, Errc::corrupt},
        {{"garbage"}, Errc::corrupt},
        {{R"({"t":"vg"})"}, Errc::corrupt},
        {{R"({"t":"vg","r":{"id":"1"}})"}, Errc::corrupt},
        {{R"({"t":"vg","r":{"id":1,"x":[1]}})"}, Errc::corrupt},
        {{vg, R"({"t":"vg","r":{"id":2,"uuid":"v","name":"m"}})"}, Errc::corrupt},
        {{vg, R"({"t":"pv","r":{"id":1,"vg_id":7}})"}, Errc::corrupt},
        {{vg, R"({"t":"future","r":{"id":1}})"}, Errc::unsupported},
    };
    for (const auto& [lines, code] : bad) CHECK(GroupRows::replay(lines).error().code == code);
    Home home;
    auto rows = must(GroupRows::replay({vg}));
    rows.table("vg").begin()->second["future"] = std::int64_t{1};
    CHECK(home.install(rows).error().code == Errc::unsupported);
    // Segments that overlap.
    Home from;
    rows = from.rows(from.make("vg0"));
    auto& segments = rows.table("segment");
    auto second = segments.begin()->second;
    second["id"] = std::int64_t{99};
    segments[99] = second;
    CHECK(home.install(rows).error().code == Errc::corrupt);
    CHECK(must(home.catalog.groups()).empty());
}

}  // namespace
}  // namespace thinvol
