// Goal: completion in a group of any size is offered few words, and by these, step by step, every
// name can be reached.
// Method: names put into a catalog by hand; each is looked for as a user would, a letter at a time.
#include "libvm/name_search.h"

#include "libvm/tags.h"
#include "libvm/uuid.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

struct Fixture {
    TemporaryDirectory dir;
    Environment environment;
    std::optional<Catalog> catalog;
    std::int64_t vg = 0;
    std::int64_t pool = 0;
    std::uint32_t next = 0;

    Fixture() {
        environment.state_dir = dir.path() / "state";
        environment.run_dir = dir.path() / "run";
        catalog = must(Catalog::open(environment));
        vg = must(catalog->add_group({0, new_uuid(), "vg0", Sectors(8192), 1}));
        pool = add_pool("pool0");
    }
    std::int64_t add_pool(const char* name) {
        PoolRow row;
        row.lv = {0, vg, new_uuid(), name, LvKind::pool, false, false, 1};
        row.chunk_size = Sectors(128);
        return must(catalog->add_pool(row));
    }
    std::int64_t add(const std::string& name, std::int64_t origin = 0, bool skip = false) {
        ThinRow row;
        row.lv = {0, vg, new_uuid(), name, LvKind::thin, false, false, 1};
        row.pool_id = pool;
        row.thin_id = ThinId::checked(next++);
        row.size = Bytes(1 << 30);
        row.origin_id = origin;
        row.skip_activation = skip;
        return must(catalog->add_thin(row));
    }
    NamesFound search(const std::string& beginning, const NamesWanted& wanted) {
        return must(search_names(*catalog, vg, beginning, wanted));
    }
};
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("names of the kinds wanted are found, and no others") {
    Fixture f;
    const std::int64_t root = f.add("root");
    f.add("snap", root, true);
    f.add("rest");
    CHECK(f.search("", {.pools = true, .thins = true}).pools == Names{"pool0"});
    CHECK(f.search("", {.thins = true}).thins == Names{"rest", "root", "snap"});
    CHECK(f.search("", {.thins = true}).pools.empty());
    CHECK(f.search("r", {.pools = true, .thins = true}).thins == Names{"rest", "root"});
    CHECK(f.search("roo", {.thins = true}).thins == Names{"root"});
    CHECK(f.search("x", {.pools = true, .thins = true}).thins.empty());
    CHECK(f.search("", {.thins = true, .snapshots_only = true}).thins == Names{"snap"});
    CHECK(f.search("", {.thins = true, .skipped = false}).thins == Names{"rest", "root"});
    CHECK(f.search("", {.thins = true, .pools_only = {f.pool + 1}}).thins.empty());
    must(f.catalog->set_lent_to(f.pool, LentTo::kernel));
    CHECK(f.search("", {.pools = true, .thins = true}).thins.empty());
    CHECK(f.search("", {.pools = true, .thins = true}).pools.empty());
    CHECK(f.search("", {.pools = true, .thins = true, .lent = true}).thins.size() == 3);
}

TEST_CASE("of many names beginnings are found, and every name is at the end of some") {
    Fixture f;
    auto transaction = must(f.catalog->begin());
    Names all{"v", "v1", "v1.x"};
    for (int i = 0; i < 1500; ++i) all.push_back("v" + std::to_string(i * 7) + "-b");
    for (const std::string& name : all) f.add(name);
    must(std::move(transaction).commit());
    for (const std::string& name : all) {
        CAPTURE(name);
        std::string typed;
        for (int steps = 0; steps < 10; ++steps) {
            const NamesFound found = f.search(typed, {.thins = true});
            REQUIRE(found.thins.size() <= 200);
            if (!found.beginnings) {
                CHECK(std::find(found.thins.begin(), found.thins.end(), name) != found.thins.end());
                break;
            }
            // The longest beginning of the name that is offered.
            std::string best;
            for (const std::string& b : found.thins) {
                if (name.starts_with(b) && b.size() >= best.size()) best = b;
            }
            REQUIRE_FALSE(best.empty());
            if (best == name) break;
            REQUIRE(best.size() > typed.size());
            typed = best;
        }
    }
}

TEST_CASE("tags are found by how they begin, each once") {
    Fixture f;
    auto transaction = must(f.catalog->begin());
    for (const char* tag : {"nightly", "night", "old"})
        must(add_tag(*f.catalog, {f.vg, 0, 0}, tag));
    must(add_tag(*f.catalog, {f.vg, 0, f.pool}, "old"));
    must(std::move(transaction).commit());
    CHECK(must(search_tags(*f.catalog, "")) == Names{"night", "nightly", "old"});
    CHECK(must(search_tags(*f.catalog, "nightl")) == Names{"nightly"});
}

}  // namespace thinvol
