// Goal: an object has a tag once, loses it with itself, and is found by it; only LVM's characters
// are taken.
// Method: a catalog in a temporary directory.
#include "libvm/tags.h"

#include "libvm/uuid.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

TEST_CASE("a group, a physical volume and a volume have tags of their own") {
    TemporaryDirectory dir;
    Environment environment;
    environment.state_dir = dir.path() / "state";
    Catalog catalog = must(Catalog::open(environment));
    auto transaction = must(catalog.begin());
    const std::int64_t vg = must(catalog.add_group({0, new_uuid(), "vg0", Sectors(8192), 1}));
    PvRow row;
    row.vg_id = vg;
    row.uuid = new_uuid();
    row.path = "/pv";
    const std::int64_t pv = must(catalog.add_pv(row));
    LvRow spare;
    spare.vg_id = vg;
    spare.uuid = new_uuid();
    spare.name = "lvol0_pmspare";
    spare.kind = LvKind::spare;
    const std::int64_t lv = must(catalog.add_spare(spare));
    const std::vector<Taggable> objects{{vg}, {vg, pv}, {vg, 0, lv}};
    for (const Taggable& object : objects) {
        must(add_tag(catalog, object, "@fast"));
        must(add_tag(catalog, object, "fast"));
        must(add_tag(catalog, object, "a/b:c=1!#&+._-"));
        must(remove_tag(catalog, object, "never"));
        CHECK(must(tags_of(catalog, object)) == std::vector<std::string>{"a/b:c=1!#&+._-", "fast"});
    }
    CHECK(must(find_tagged(catalog, "@fast")) == objects);
    CHECK(must(tags_in_group(catalog, vg)).size() == 6);
    must(remove_tag(catalog, objects[1], "fast"));
    CHECK(must(find_tagged(catalog, "fast")).size() == 2);
    must(catalog.remove_lv(lv));
    CHECK(must(find_tagged(catalog, "fast")) == std::vector<Taggable>{{vg}});
    CHECK(must(find_tagged(catalog, "nobody")).empty());
    must(std::move(transaction).commit());
}

TEST_CASE("a tag that LVM would not take is refused") {
    for (const char* text : {"", "@", "-a", "a b", "a,b", "\xc3\xa4", "a@b"})
        CHECK(parse_tag(text).error().code == Errc::invalid_argument);
    CHECK_FALSE(parse_tag(std::string(1025, 'x')).has_value());
    CHECK(must(parse_tag("@#x")) == "#x");
}

}  // namespace
}  // namespace thinvol
