// Goal: the names that LVM takes are taken, the ones it reserves are refused, and each way of
// pointing at a volume means the volume that was meant.
// Method: tables of texts with what each must mean.
#include "libvm/names.h"

#include "tests/support/metadata_fixture.h"

namespace thinvol {

TEST_CASE("a name of letters, digits and + _ . - is valid for groups and volumes") {
    for (const std::string name :
         {"a",     "A",     "0",      "+",        "_",     ".a", "a.",    "...",
          "vg0",   "a-b",   "a--b",   "a-",       "_a",    "+a", "lvol0", "Root.2026-05-01_daily+1",
          "tdata", "_tdat", "a_meta", "Snapshot", "pvMove"}) {
        CAPTURE(name);
        CHECK(check_group_name(name).has_value());
        CHECK(check_volume_name(name).has_value());
    }
    CHECK(check_group_name(std::string(longest_name, 'n')).has_value());
    CHECK(check_volume_name(std::string(longest_name, 'n')).has_value());
}

TEST_CASE(
    "a name that is empty, too long, a directory's, or of other characters is refused with the "
    "reason") {
    const struct {
        std::string name;
        std::string reason;
    } cases[] = {
        {"", "it is empty"},
        {std::string(longest_name + 1, 'n'), "longer than 127 characters"},
        {".", "a directory's"},
        {"..", "a directory's"},
        {"-", "begins with a hyphen"},
        {"-a", "begins with a hyphen"},
        {"--yes", "begins with a hyphen"},
        {"a b", "valid characters"},
        {"a:b", "valid characters"},
        {"a/b", "valid characters"},
        {"a@b", "valid characters"},
        {"a\n", "valid characters"},
        {"a'", "valid characters"},
        {"a,b", "valid characters"},
        {"$(a)", "valid characters"},
        {"[a]", "valid characters"},
        {std::string("a\0b", 3), "valid characters"},
        {"\xc3\xa4", "valid characters"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.name);
        for (const auto& outcome : {check_group_name(c.name), check_volume_name(c.name)}) {
            REQUIRE_FALSE(outcome.has_value());
            CHECK(outcome.error().code == Errc::invalid_argument);
            CHECK(outcome.error().text.find(c.reason) != std::string::npos);
        }
    }
}

TEST_CASE("words that LVM reserves are refused in names of volumes, and named") {
    for (const std::string word : {"snapshot", "pvmove"}) {
        for (const std::string& name : {word, word + "0", word + "-of-root"}) {
            CAPTURE(name);
            REQUIRE_FALSE(check_volume_name(name).has_value());
            CHECK(check_volume_name(name).error().text.find(word) != std::string::npos);
            CHECK(check_group_name(name).has_value());
        }
        CHECK(check_volume_name("a" + word).has_value());
    }
    for (const std::string part :
         {"_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog",
          "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig"}) {
        for (const std::string& name : {part, "pool0" + part, part + "9", "a" + part + "b"}) {
            CAPTURE(name);
            REQUIRE_FALSE(check_volume_name(name).has_value());
            CHECK(check_volume_name(name).error().code == Errc::invalid_argument);
            CHECK(check_volume_name(name).error().text.find("\"" + part + "\"") !=
                  std::string::npos);
        }
    }
}

TEST_CASE("a reference means the same however it is written") {
    const struct {
        const char* text;
        const char* group;
        const char* volume;
    } cases[] = {
        {"vg", "vg", ""},
        {"vg/lv", "vg", "lv"},
        {"/dev/vg", "vg", ""},
        {"/dev/vg/lv", "vg", "lv"},
        {"/dev/mapper/vg-lv", "vg", "lv"},
        {"/dev/mapper/a--b-c", "a-b", "c"},
        {"/dev/mapper/a-b--c", "a", "b-c"},
        {"/dev/mapper/a----b-c--d", "a--b", "c-d"},
        {"/dev/mapper/a---b", "a-", "b"},
        {"a-b/c-d", "a-b", "c-d"},
        {"mapper/x", "mapper", "x"},
        {"dev/x", "dev", "x"},
        {"vg/pool0_tmeta", "vg", "pool0_tmeta"},  // hidden volumes can be pointed at
        {"vg/snapshot0", "vg", "snapshot0"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.text);
        const Reference reference = must(parse_reference(c.text));
        CHECK(reference.group == c.group);
        CHECK(reference.volume == c.volume);
    }
}

TEST_CASE("what points at nothing is refused") {
    for (const std::string text : {"",
                                   "/",
                                   "//",
                                   "vg/",
                                   "/lv",
                                   "vg//lv",
                                   "vg/lv/x",
                                   "/dev/",
                                   "/dev//lv",
                                   "/dev/vg/",
                                   "/dev/mapper/",
                                   "/dev/mapper/-lv",
                                   "/dev/mapper/a-b-c",
                                   "./vg/lv",
                                   "../vg",
                                   "/tmp/vg/lv",
                                   "vg/a:b",
                                   "v g/lv",
                                   "vg/..",
                                   "-vg/lv",
                                   "@tag",
                                   "vg/-lv"}) {
        CAPTURE(text);
        const auto outcome = parse_reference(text);
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::invalid_argument);
    }
}

TEST_CASE("what a volume is called below /dev/mapper leads back to it") {
    CHECK(mapper_name("vg", "lv") == "vg-lv");
    CHECK(mapper_name("my-vg", "a--b") == "my--vg-a----b");
    for (const auto& [group, volume] : {std::pair{"a-", "b"}, {"a", "b-"}, {"a-b-c", "d--e"}}) {
        const Reference reference =
            must(parse_reference("/dev/mapper/" + mapper_name(group, volume)));
        CHECK(reference.group == group);
        CHECK(reference.volume == volume);
    }
}

TEST_CASE("a mapper name whose volume is missing does not mean the whole group") {
    const auto outcome = parse_reference("/dev/mapper/vg-");
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::invalid_argument);
}

TEST_CASE("a reference to a volume needs the volume") {
    CHECK(must(parse_volume_reference("vg/lv")).volume == "lv");
    CHECK(must(parse_volume_reference("/dev/mapper/vg-lv")).volume == "lv");
    for (const std::string text : {"vg", "/dev/vg", "vg/"}) {
        CAPTURE(text);
        REQUIRE_FALSE(parse_volume_reference(text).has_value());
        CHECK(parse_volume_reference(text).error().code == Errc::invalid_argument);
    }
    CHECK(parse_volume_reference("vg").error().text.find("\"vg\"") != std::string::npos);
}

}  // namespace thinvol
