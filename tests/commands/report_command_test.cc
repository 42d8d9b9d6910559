// Goal: tvs, tvgs and tvpvs show the fields asked for, in the order and form asked for, and say
// what they could not find.
// Method: the commands run on a catalog made by hand; no volume is active.
#include "commands/report_command.h"

#include <filesystem>
#include <sstream>

#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "commands/table.h"
#include "libvm/tags.h"
#include "libvm/uuid.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

struct Outcome {
    int status = -1;
    std::string out, err;
};

struct Fixture {
    TemporaryDirectory dir;
    Environment environment;

    Fixture() {
        environment.state_dir = dir.path() / "state";
        environment.run_dir = dir.path() / "run";
    }
    Outcome run(const CommandSpec& spec, const Words& words) const {
        CAPTURE(words);
        std::ostringstream out, err;
        std::istringstream in;
        Invocation call(spec, environment, out, err, in);
        must(call.parse(words));
        const int status = spec.run(call);
        return {status, out.str(), err.str()};
    }
    // The output of a command that succeeds.
    std::string show(const CommandSpec& spec, const Words& words) const {
        const Outcome outcome = run(spec, words);
        CHECK(outcome.status == 0);
        CHECK(outcome.err.empty());
        return outcome.out;
    }
    nlohmann::json json(const CommandSpec& spec, Words words) const {
        words.insert(words.begin(), {"--reportformat", "json"});
        return nlohmann::json::parse(show(spec, words)).at("report").at(0);
    }
};

// Group vg0 of two physical volumes, with pool0 and its thin volumes b (1 GiB), a (3 GiB) and its
// snapshot c; group vg1 with nothing.
struct Filled : Fixture {
    std::string big_pv, small_pv;

    Filled() {
        big_pv = (dir.path() / "big.img").string();
        small_pv = (dir.path() / "small.img").string();
        Catalog catalog = must(Catalog::open(environment));
        auto transaction = must(catalog.begin());
        const std::int64_t vg = must(catalog.add_group({0, new_uuid(), "vg0", Sectors(8192), 1}));
        must(catalog.add_group({0, new_uuid(), "vg1", Sectors(8192), 1}));
        const std::int64_t pv =
            must(catalog.add_pv({0, vg, new_uuid(), big_pv, Sectors(2048 + 8192 * 100),
                                 Sectors(2048), Extents(100), IoMode::direct, true, 1}));
        must(catalog.add_pv({0, vg, new_uuid(), small_pv, Sectors(2048 + 8192 * 10), Sectors(2048),
                             Extents(10), IoMode::buffered, true, 1}));
        PoolRow pool;
        pool.lv = {0, vg, new_uuid(), "pool0", LvKind::pool, false, false, 1};
        pool.chunk_size = Sectors(128);
        const std::int64_t pool_id = must(catalog.add_pool(pool));
        must(catalog.add_segment(
            {0, vg, pool_id, SegmentRole::data, Extents(0), Extents(20), pv, Extent(0), false}));
        must(catalog.add_segment({0, vg, pool_id, SegmentRole::metadata, Extents(0), Extents(1), pv,
                                  Extent(20), false}));
        std::uint32_t next = 0;
        const auto add = [&](const char* name, std::uint64_t gib, std::int64_t origin) {
            ThinRow row;
            row.lv = {0, vg, new_uuid(), name, LvKind::thin, false, false, 1};
            row.pool_id = pool_id;
            row.thin_id = ThinId::checked(next++);
            row.size = Bytes(gib << 30);
            row.origin_id = origin;
            return must(catalog.add_thin(row));
        };
        add("b", 1, 0);
        add("c", 3, add("a", 3, 0));
        must(std::move(transaction).commit());
    }
};

}  // namespace

TEST_CASE("without a catalog a report is empty, and none is made") {
    Fixture f;
    for (const CommandSpec* spec : {&tvs, &tvgs, &tvpvs}) CHECK(f.show(*spec, {}).empty());
    CHECK(f.json(tvs, {}).at("lv").empty());
    CHECK(f.json(tvgs, {}).at("vg").empty());
    CHECK(f.json(tvpvs, {}).at("pv").empty());
    CHECK_FALSE(std::filesystem::exists(f.environment.state_dir));
    const Outcome outcome = f.run(tvs, {"vg0"});
    CHECK(outcome.status == exit_failed);
    CHECK_THAT(outcome.err, ContainsSubstring("\"vg0\" not found"));
}

TEST_CASE("fields named are those shown, in their order, with or without their prefix") {
    Filled f;
    CHECK(f.show(tvs, {"-o", "lv_name,lv_size", "vg0"}) ==
          "  LV     LSize\n"
          "  a      3.00g\n"
          "  b      1.00g\n"
          "  c      3.00g\n"
          "  pool0 80.00m\n");
    CHECK(f.show(tvs, {"-o", "size,name", "--noheadings", "vg0/a"}) == "  3.00g a\n");
    CHECK(f.show(tvs, {"--noheadings", "-o", "lv_name,origin,pool_lv", "--separator", ":",
                       "vg0/c"}) == "  c:a:pool0\n");
}

TEST_CASE("fields are added to the usual ones, and left out of them") {
    Filled f;
    const auto fields = [&](const Words& words) {
        std::vector<std::string> names;
        const auto rows = f.json(tvgs, words).at("vg");
        REQUIRE_FALSE(rows.empty());
        for (const auto& [name, value] : rows.at(0).items()) names.push_back(name);
        return names;
    };
    const auto usual = fields({});
    CHECK(fields({"-o", "+vg_uuid"}).size() == usual.size() + 1);
    CHECK(fields({"-o", "+vg_name"}).size() == usual.size());
    CHECK(fields({"-o", "-vg_size,vg_free"}).size() == usual.size() - 2);
    CHECK(fields({"-o", "-vg_size", "-o", "+vg_uuid"}).size() == usual.size());
    CHECK(fields({"-o", "all"}).size() == fields_of(ReportKind::groups).size());
    CHECK(fields({"-o", "#vg_size,vg_name"}).size() == usual.size());  // neither is empty
}

TEST_CASE("rows are sorted by the fields asked for, downwards with a hyphen") {
    Filled f;
    const auto names = [&](const Words& sort) {
        Words words{"--noheadings", "-o", "lv_name", "--separator", ";"};
        words.insert(words.end(), sort.begin(), sort.end());
        std::string text;
        for (const char c : f.show(tvs, words)) {
            if (c != ' ') text += c == '\n' ? ' ' : c;
        }
        return text;
    };
    CHECK(names({}) == "a b c pool0 ");
    CHECK(names({"-O", "-lv_name"}) == "pool0 c b a ");
    CHECK(names({"--sort", "lv_size"}) == "pool0 b a c ");  // as numbers, not as texts
    CHECK(names({"-O", "-lv_size,-lv_name"}) == "c a b pool0 ");
    CHECK(names({"-O", "-size,name"}) == "a c b pool0 ");
}

TEST_CASE("sizes have the units asked for, and a suffix unless it is not wanted") {
    Filled f;
    const auto size = [&](Words words) {
        words.insert(words.begin(), {"--noheadings", "-o", "lv_size", "vg0/a"});
        return f.show(tvs, words);
    };
    CHECK(size({}) == "  3.00g\n");
    CHECK(size({"--nosuffix"}) == "  3.00\n");
    CHECK(size({"--units", "m"}) == "  3072.00m\n");
    CHECK(size({"--units", "b", "--nosuffix"}) == "  3221225472\n");
    CHECK(size({"--units", "k", "--nosuffix"}) == "  3145728.00\n");
}

TEST_CASE("groups and physical volumes add up") {
    Filled f;
    CHECK(f.show(tvgs, {"-o", "vg_name,pv_count,lv_count,vg_extent_count,vg_free_count",
                        "--noheadings", "--separator", ","}) ==
          "  vg0,2,4,110,89\n  vg1,0,0,0,0\n");
    CHECK(f.show(tvpvs, {"-o", "pv_name,vg_name,pv_pe_count,pv_pe_alloc_count", "--noheadings",
                         "--separator", ","}) ==
          "  " + f.big_pv + ",vg0,100,21\n  " + f.small_pv + ",vg0,10,0\n");
    CHECK(f.show(tvpvs, {"-o", "pv_pe_count", "--noheadings", f.small_pv}) == "  10\n");
}

TEST_CASE("hidden volumes are shown on demand, in brackets") {
    Filled f;
    const Words fields{"--noheadings", "-o", "lv_name", "vg0"};
    CHECK(f.show(tvs, fields).find('[') == std::string::npos);
    Words all = fields;
    all.insert(all.begin(), "-a");
    const std::string text = f.show(tvs, all);
    CHECK_THAT(text, ContainsSubstring("[pool0_tdata]") && ContainsSubstring("[pool0_tmeta]"));
}

TEST_CASE("what was not found is said on stderr, and the others are shown") {
    Filled f;
    const struct {
        const CommandSpec* spec;
        Words words;
        const char* shown;
        const char* missing;
    } cases[] = {
        {&tvs, {"vg0/a", "vg0/nope"}, "  a\n", "vg0/nope"},
        {&tvs, {"vg0/a", "nope"}, "  a\n", "nope"},
        {&tvs, {"vg0/a", "nope/a"}, "  a\n", "nope"},
        {&tvgs, {"vg1", "nope"}, "  vg1\n", "nope"},
        {&tvpvs, {"/nope"}, "", "/nope"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.spec->name, c.words);
        Words words{"--noheadings", "-o", c.spec == &tvs ? "lv_name" : "name"};
        words.insert(words.end(), c.words.begin(), c.words.end());
        const Outcome outcome = f.run(*c.spec, words);
        CHECK(outcome.status == exit_failed);
        CHECK(outcome.out == c.shown);
        CHECK_THAT(outcome.err, ContainsSubstring(c.missing));
    }
}

TEST_CASE("a field that does not exist is refused, with the nearest and no output") {
    Filled f;
    for (const Words& words : std::vector<Words>{{"-o", "lv_nmae"}, {"-O", "lv_nmae"}}) {
        const Outcome outcome = f.run(tvs, words);
        CHECK(outcome.status == exit_failed);
        CHECK(outcome.out.empty());
        CHECK_THAT(outcome.err, ContainsSubstring("\"lv_nmae\"") && ContainsSubstring("lv_name"));
    }
    for (const char* nothing : {"-", "+", "lv_name,-", "-,"}) {
        CAPTURE(nothing);
        const Outcome outcome = f.run(tvs, {"-O", nothing});
        CHECK(outcome.status == exit_failed);
        CHECK(outcome.out.empty());
    }
}

TEST_CASE("a report's -o help lists every field with its explanation") {
    Fixture f;
    const std::pair<const CommandSpec*, ReportKind> reports[] = {
        {&tvs, ReportKind::volumes},
        {&tvgs, ReportKind::groups},
        {&tvpvs, ReportKind::physical_volumes}};
    for (const auto& [spec, kind] : reports) {
        const std::string help = f.show(*spec, {"-o", "help"});
        for (const Field* field : fields_of(kind)) {
            CHECK_THAT(help, ContainsSubstring(std::string(field->name)) &&
                                 ContainsSubstring(std::string(field->help)));
        }
    }
}

TEST_CASE("a selection leaves out what it does not mean, also by fields that are not shown") {
    Filled f;
    const auto names = [&](const Words& words) {
        Words all{"--noheadings", "-o", "lv_name", "--rows"};
        all.insert(all.end(), words.begin(), words.end());
        return f.show(tvs, all);
    };
    CHECK(names({"-S", "lv_size>=3g"}) == "  a c\n");
    CHECK(names({"-S", "origin=a || pool_lv=''"}) == "  c pool0\n");
    CHECK(names({"-S", "lv_role=thinorigin"}) == "  a\n");
    CHECK(names({"-S", "lv_name=~.", "vg0/b"}) == "  b\n");
    CHECK(names({"-S", "lv_size>1t"}).empty());
    CHECK(f.show(tvgs, {"--noheadings", "-o", "vg_name", "-S", "pv_count=0"}) == "  vg1\n");
    CHECK(f.show(tvpvs, {"--noheadings", "-o", "pv_pe_count", "-S", "pv_size<100m"}) == "  10\n");
    const Outcome outcome = f.run(tvs, {"-S", "lv_size>>1"});
    CHECK(outcome.status == exit_failed);
    CHECK(outcome.out.empty());
}

TEST_CASE("a volume asked for by name shows what it shows among all") {
    Filled f;
    Catalog catalog = must(Catalog::open(f.environment));
    auto transaction = must(catalog.begin());
    must(
        catalog.database().execute("UPDATE lv SET autoactivation = 0 WHERE name IN ('c', 'pool0');"
                                   "UPDATE thin SET merging = 1 WHERE origin_id IS NOT NULL;"
                                   "UPDATE thin SET external_origin = '512 /x' "
                                   "WHERE id = (SELECT id FROM lv WHERE name = 'a');"));
    const GroupRow vg0 = must(catalog.find_group("vg0"));
    must(add_tag(catalog, {vg0.id, 0, must(catalog.find_lv(vg0, "c")).id}, "nightly"));
    must(std::move(transaction).commit());
    CHECK(f.show(tvs, {"--noheadings", "-o", "lv_tags,lv_merging,lv_attr", "vg0/c"}) ==
          "  nightly merging Swi---tz--\n");
    CHECK(f.show(tvs, {"--noheadings", "-o", "name,attr", "@nightly"}) == "  c Swi---tz--\n");
    CHECK(f.show(tvs, {"--noheadings", "-o", "origin", "vg0/a"}) == "  /x\n");
    for (const Field* field : fields_of(ReportKind::volumes)) {
        if ((field->needs & (needs_exclusive | needs_selected)) != 0) continue;
        const std::string name(field->name);
        CAPTURE(name);
        for (const std::string volume : {"a", "b", "c", "pool0"}) {
            const auto shown = [&](const Words& which) {
                Words words{"--noheadings", "-o", name, "--nameprefixes"};
                words.insert(words.end(), which.begin(), which.end());
                return f.show(tvs, words);
            };
            CHECK(shown({"vg0/" + volume}) == shown({"-S", "lv_name=" + volume}));
        }
    }
}

TEST_CASE("a tree has volumes below their pools and snapshots below their origins") {
    Filled f;
    CHECK(f.show(tvs, {"--tree", "--noheadings", "-o", "lv_name,lv_size", "vg0"}) ==
          "  pool0   80.00m\n"
          "  |- a     3.00g\n"
          "  |  `- c  3.00g\n"
          "  `- b     1.00g\n");
}

TEST_CASE("segments have a line each, on either side") {
    Filled f;
    CHECK(f.show(tvs, {"--segments", "-a", "--noheadings", "-o", "lv_name,segtype,seg_size_pe",
                       "--separator", ","}) ==
          "  a,thin,768\n  b,thin,256\n  c,thin,768\n  pool0,thin-pool,20\n"
          "  [pool0_tdata],linear,20\n  [pool0_tmeta],linear,1\n");
    CHECK(f.show(tvpvs, {"--noheadings", "-o", "pvseg_start,pvseg_size,lv_name", "--separator", ",",
                         f.big_pv}) == "  0,20,[pool0_tdata]\n  20,1,[pool0_tmeta]\n  21,79,\n");
}

}  // namespace thinvol
