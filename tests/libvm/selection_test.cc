// Goal: a selection means what LVM's users expect, and no text makes it fail later or grow without
// bound.
// Method: tables of selections against cells given by field name; then texts from an enemy.
#include "libvm/selection.h"

#include <map>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "libvm/times.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

constexpr std::int64_t now = 1'780'000'000;
constexpr std::uint64_t gib = 1 << 30;

// A volume; what is not here is unknown.
const std::map<std::string_view, Cell> volume{
    {"lv_name", std::string("db-root")},
    {"vg_name", std::string("vg0")},
    {"lv_size", Bytes(3 * gib)},
    {"thin_id", std::int64_t{7}},
    {"data_percent", Percent{1, 3}},
    {"lv_permissions", std::string("writeable")},
    {"lv_tags", Words{"a", "b", "night/ly"}},
    {"lv_role", Words{"public", "snapshot", "thinsnapshot"}},
    {"lv_skip_activation", Flag{true, "skip activation"}},
    {"lv_merging", Flag{false, "merging"}},
    {"lv_time", Time{now - 86400 * 10}},
};

bool selects(const std::string& text) {
    CAPTURE(text);
    const Selection s = must(Selection::parse(text, ReportKind::volumes, now));
    std::vector<Cell> cells;
    for (const Field* f : s.fields()) {
        const auto it = volume.find(f->name);
        cells.push_back(it == volume.end() ? Cell() : it->second);
    }
    return s.matches(cells);
}
std::string refused(const std::string& text) {
    CAPTURE(text.substr(0, 100));
    const auto s = Selection::parse(text, ReportKind::volumes, now);
    REQUIRE_FALSE(s);
    return s.error().text;
}
std::string repeated(std::size_t n, const std::string& s) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += s;
    return text;
}

}  // namespace

TEST_CASE("a selection matches what LVM's would") {
    const struct {
        const char* text;
        bool matches;
    } cases[] = {
        {"lv_name=db-root", true},
        {"name = \"db-root\"", true},
        {"lv_name!='db-root'", false},
        {"lv_name=~^db", true},
        {"lv_name=~\"^(db|web)-[a-z]+$\"", true},
        {"lv_name=~^(db|web)-.{2,9}$", true},
        {"lv_name!~root", false},
        {"origin=\"\"", true},
        {"origin=", true},
        {"origin= && lv_name=~db", true},
        {"!origin=x", true},
        {"lv_size=3g", true},
        {"size>=3072", true},
        {"lv_size>3g", false},
        {"lv_size<3.5g", true},
        {"thin_id=7", true},
        {"thin_id!=7", false},
        {"data_percent>33 && data_percent<34%", true},
        {"data_percent=33.33", true},
        {"lv_permissions=rw", true},
        {"lv_permissions=read-write", true},
        {"lv_permissions=ro", false},
        {"lv_tags=a", true},
        {"lv_tags=c", false},
        {"lv_tags!=c", true},
        {"lv_tags={a,b}", true},
        {"lv_tags={a && c}", false},
        {"lv_tags={a || c}", true},
        {"lv_tags=[a,b]", false},
        {"lv_tags=[a , b , night/ly]", true},
        {"lv_tags=[night/ly#x]", true},
        {"lv_tags=[]", false},
        {"lv_tags=~^night", true},
        {"lv_ancestors=\"\"", true},
        {"lv_role=thinsnapshot && lv_time until \"5 days ago\"", true},
        {"lv_time since \"5 days ago\"", false},
        {"lv_time after @1", true},
        {"lv_time<=2001-01-01", false},
        {"lv_skip_activation=1", true},
        {"lv_skip_activation=\"skip activation\"", true},
        {"lv_skip_activation=no", false},
        {"lv_merging=0", true},
        {"lv_merging!=yes", true},
        // What is not known matches nothing but that.
        {"metadata_percent>0", false},
        {"metadata_percent!=5", false},
        {"metadata_percent=unknown", true},
        {"lv_device_open=undefined", true},
        {"lv_size=unknown", false},
        {"lv_size!=unknown", true},
        // How they are joined.
        {"lv_name=x || lv_size=3g && thin_id=8", false},
        {"lv_name=x # thin_id=7", true},
        {"(lv_name=x || lv_size=3g) , thin_id=7", true},
        {"!(lv_name=x || thin_id=7)", false},
        {"!!thin_id=7", true},
        {"vg_name=vg0&&thin_id=7", true},
    };
    for (const auto& c : cases)
        CHECK((selects(c.text) == c.matches ? "" : c.text) == std::string());
}

TEST_CASE("what is wrong with a selection is said in a line, with its place or the nearest field") {
    const struct {
        const char* text;
        const char* said;
    } cases[] = {
        {"", "a field is missing"},
        {"lv_nmae=x", "did you mean \"lv_name\""},
        {"lv_name", "a comparison is missing behind lv_name"},
        {"lv_name=x lv_size=1g", "at character 11"},
        {"lv_name=x &&", "a field is missing"},
        {"(lv_name=x", "a ) is missing"},
        {"lv_name=x)", "does not belong there"},
        {"lv_name='x", "closing quote"},
        {"lv_name>x", "lv_name is a text"},
        {"lv_size=~1", "lv_size is a size"},
        {"lv_size=big", "no size"},
        {"lv_size=-1g", "no size"},
        {"thin_id=seven", "no number"},
        {"lv_time=sometime", "is no time"},
        {"lv_merging=perhaps", "yes or no"},
        {"lv_merging>0", "lv_merging is a flag"},
        {"lv_permissions=rx", "writeable, read-only"},
        {"lv_size>unknown", "= and != only"},
        {"lv_tags={a,b", "a } is missing"},
        {"lv_tags={a,b||c}", "not both"},
        {"lv_tags={a,}", "an item of the list is missing"},
        {"lv_name=~[", "regular expression \"[\""},
        {"lv_name=~", "a regular expression is missing"},
        {"selected_freed>1g", "cannot select"},
    };
    for (const auto& c : cases) {
        const std::string said = refused(c.text);
        CHECK_THAT(said, ContainsSubstring(c.said));
        CHECK(said.find('\n') == std::string::npos);
    }
}

TEST_CASE("an enemy's selection ends with an error, soon") {
    for (const std::string& text :
         {repeated(100000, "("), repeated(10000, "!"), repeated(100, "(") + "thin_id=1",
          repeated(5000, "thin_id=1||") + "thin_id=1", "lv_tags={" + repeated(5000, "a,") + "a}",
          "lv_name=~" + std::string(5000, 'a'), "lv_name=~" + repeated(6, "(a{1,255}") + "",
          std::string("lv_name=~((a{1,99}){1,99}){1,99}"), std::string("lv_name=~(a*)\\1"),
          "lv_name=~(" + std::string(500, 'a') + "){900}",
          std::string("lv_name=~a{99999999999999999999}"), std::string("lv_name=~'a\0b'", 15),
          std::string(1 << 20, ' '), std::string("\xff\xfe=1")})
        CHECK_THAT(refused(text), ContainsSubstring("selection: "));
    // Deep and long, but within bounds.
    CHECK(selects(repeated(60, "(") + "thin_id=7" + repeated(60, ")")));
    CHECK_FALSE(selects("lv_name=~((((((((((x*)*)*)*)*)*)*)*)*)*){1,90}y"));
    CHECK_FALSE(selects("lv_name=~" + repeated(300, "(") + "x*" + repeated(300, ")*") + "y"));
    CHECK(selects(repeated(900, "thin_id=8||") + "thin_id=7"));
}

TEST_CASE("times are read as a user means them") {
    const std::int64_t day = 86400;
    const auto range = [](const char* text) { return must(parse_time(text, now)); };
    CHECK(range("@1700000000").first == 1700000000);
    CHECK(range("2026-05-01 12:30:00 +02:00").first == 1777631400);
    CHECK(range("2026-05-01 12:30:00 +02:00").last == 1777631400);
    CHECK(range("2026-05-01 10:30 Z").last - range("2026-05-01 10:30 Z").first == 59);
    CHECK(range("2026-05-01").last - range("2026-05-01").first == day - 1);
    CHECK(range("2026").last - range("2026").first == 365 * day - 1);
    CHECK(range("2 weeks 3h ago").first == now - 14 * day - 3 * 3600);
    CHECK(range("today").first <= now);
    CHECK(range("today").last >= now);
    CHECK(range("yesterday").last == range("today").first - 1);
    CHECK(range("monday").first > now - 7 * day - 1);
    CHECK(range("monday").first <= now);
    for (const char* wrong : {"", "5", "2026-13-01", "2026-05-01x", "2 fortnights ago", "ago", "@",
                              "@x", "2026-05-01 25:00", "1e9"})
        CHECK_FALSE(parse_time(wrong, now));
}

}  // namespace thinvol
