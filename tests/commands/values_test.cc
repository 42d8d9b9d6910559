// Goal: a value that a command cannot mean is refused before it runs, whatever kind it is, and help
// has a name for each kind.
// Method: every kind of value, with texts that it takes and texts that it does not.
#include "commands/values.h"

#include <set>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

std::vector<Value> all_values() {
    std::vector<Value> all;
    for (int v = 0; v <= static_cast<int>(Value::command); ++v)
        all.push_back(static_cast<Value>(v));
    return all;
}

}  // namespace

TEST_CASE("each kind of value has a name for help, switches have none") {
    for (const Value value : all_values()) {
        CAPTURE(static_cast<int>(value));
        CHECK(metavariable(value).empty() == (value == Value::none));
    }
    CHECK(metavariable(Value::size).find("bskmgtpe") != std::string_view::npos);
}

TEST_CASE("an enumeration takes its words and nothing else, and the error lists them") {
    int enumerations = 0;
    for (const Value value : all_values()) {
        const auto words = words_of(value);
        if (words.empty()) continue;
        ++enumerations;
        CAPTURE(static_cast<int>(value));
        std::set<std::string_view> distinct(words.begin(), words.end());
        CHECK(distinct.size() == words.size());
        for (const std::string_view word : words) {
            CHECK(check_value(value, word).has_value());
            CHECK_FALSE(check_value(value, std::string(word) + " ").has_value());
            CHECK_FALSE(check_value(value, "x" + std::string(word)).has_value());
        }
        for (const char* text : {"", "bogus", ","}) {
            const auto outcome = check_value(value, text);
            REQUIRE_FALSE(outcome.has_value());
            CHECK(outcome.error().code == Errc::invalid_argument);
            for (const std::string_view word : words)
                CHECK(outcome.error().text.find(word) != std::string::npos);
        }
    }
    CHECK(enumerations >= 6);
}

TEST_CASE("the words are those of LVM") {
    for (const char* word : {"y", "n"}) CHECK(check_value(Value::yes_no, word).has_value());
    for (const char* word : {"r", "rw"}) CHECK(check_value(Value::permission, word).has_value());
    for (const char* word : {"y", "n", "ay"})
        CHECK(check_value(Value::activation, word).has_value());
    for (const char* word : {"passdown", "nopassdown", "ignore"})
        CHECK(check_value(Value::discards, word).has_value());
    for (const char* word : {"basic", "json", "json_std"})
        CHECK(check_value(Value::report_format, word).has_value());
}

TEST_CASE("numbers are checked, each as its kind is written") {
    const struct {
        Value value;
        const char* good;
        const char* bad;
    } cases[] = {
        {Value::size, "4g", "4q"},       {Value::size, "+1.5t", "1.5.5t"},
        {Value::size, "-100", ""},       {Value::extents, "100%FREE", "100%"},
        {Value::extents, "-5", "5g"},    {Value::chunk_size, "64k", "64x"},
        {Value::units, "h", "hh"},       {Value::units, "4m", "0m"},
        {Value::chunk_size, "128", "k"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.good, c.bad);
        CHECK(check_value(c.value, c.good).has_value());
        const auto outcome = check_value(c.value, c.bad);
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::invalid_argument);
    }
}

TEST_CASE("what only the catalog can judge is let through") {
    for (const Value value : {Value::text, Value::separator, Value::fields, Value::sort_fields,
                              Value::file, Value::group, Value::volume, Value::physical_volume})
        CHECK(check_value(value, "any thing /at all").has_value());
}

}  // namespace thinvol
