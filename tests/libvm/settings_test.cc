// Goal: every setting's default is a right value, what is written is what is read, and what is
// wrong is told with the nearest name or the range. Method: all of the table, and values on both
// sides of each bound.
#include "libvm/settings.h"

#include <catch2/catch_test_macros.hpp>

namespace thinvol {
namespace {

std::string error_of(std::string_view assignment) {
    const auto parsed = parse_assignment(assignment);
    return parsed ? "" : parsed.error().text;
}

}  // namespace

TEST_CASE("a default passes its check, and is the same when it is written and read again") {
    for (const SettingSpec& spec : all_settings()) {
        CAPTURE(spec.key);
        const SettingValue value = default_of(spec);
        CHECK(to_toml(spec, value) == spec.fallback);
        const auto again = parse_setting(spec, to_toml(spec, value));
        REQUIRE(again.has_value());
        CHECK(*again == value);
        CHECK(spec.help.ends_with('.'));
        CHECK(settings_template().find(std::string(spec.help)) != std::string::npos);
    }
}

TEST_CASE("numbers are refused beyond their bounds") {
    for (const SettingSpec& spec : all_settings()) {
        if (spec.type != SettingType::number) continue;
        CAPTURE(spec.key);
        CHECK(parse_setting(spec, std::to_string(spec.least)).has_value());
        CHECK(parse_setting(spec, std::to_string(spec.most)).has_value());
        CHECK_FALSE(parse_setting(spec, std::to_string(spec.most + 1)).has_value());
        CHECK_FALSE(parse_setting(spec, std::to_string(spec.least - 1)).has_value());
        for (const char* text : {"", "x", "7.5", "0x10", "99999999999999999999", "[1]"})
            CHECK_FALSE(parse_setting(spec, text).has_value());
    }
}

TEST_CASE("lists, sizes, words and flags are read as they are typed") {
    CHECK(parse_assignment("events.hook=[\"/bin/a\", \"b c\"]")->value ==
          SettingValue{"/bin/a", "b c"});
    CHECK(parse_assignment("events.hook=[]")->value.empty());
    CHECK(parse_assignment("warnings.levels=[50,60]")->value == SettingValue{"50", "60"});
    CHECK(parse_assignment("autoextend.data_maximum=10g")->value == SettingValue{"10g"});
    CHECK(parse_assignment("autoextend.data_maximum=\"10g\"")->value == SettingValue{"10g"});
    CHECK(parse_assignment("allocation.discards=ignore")->value == SettingValue{"ignore"});
    CHECK(parse_assignment("nbd.tls_keys=/etc/keys.psk")->value == SettingValue{"/etc/keys.psk"});
    CHECK(parse_assignment("nbd.tls_keys=\"\"")->value == SettingValue{""});
    const SettingSpec& path = **find_setting("nbd.tls_keys");
    const SettingValue odd{"/a \"b\" \\c"};
    CHECK(parse_setting(path, to_toml(path, odd)).value() == odd);
    CHECK(parse_assignment("allocation.zero=n")->value == SettingValue{"false"});
    CHECK(parse_assignment("allocation.zero=true")->value == SettingValue{"true"});
}

TEST_CASE("what is wrong is told with what is wanted") {
    CHECK(error_of("autoextend.data_treshold=70") ==
          "there is no setting autoextend.data_treshold; the nearest is "
          "autoextend.data_threshold");
    CHECK(error_of("autoextend.data_threshold=49") ==
          "autoextend.data_threshold is 49: wanted is a number from 50 to 100");
    CHECK(error_of("warnings.levels=[80, 101]").find("101") != std::string::npos);
    for (const char* text :
         {"", "=", "allocation.zero", "allocation.zero=", "allocation.zero=maybe",
          "allocation.discards=x", "autoextend.data_maximum=-1g", "autoextend.data_maximum=ten",
          "events.hook=/bin/true", "events.hook=[1]", "warnings.levels=[\"80\"]",
          "warnings.levels=[-1]", "warnings.levels=80"}) {
        CAPTURE(text);
        CHECK_FALSE(error_of(text).empty());
    }
}

}  // namespace thinvol
