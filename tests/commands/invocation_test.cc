// Goal: a command line means what it means to LVM's users, and one that means nothing is refused
// before anything happens.
// Method: a command of the tests' own, its line parsed word by word; the streams are strings.
#include "commands/invocation.h"

#include <sstream>

#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

constexpr OptionSpec options[] = {
    {"size", 'L', Value::size, "A size."},
    {"extents", 'l', Value::extents, "Extents."},
    {"name", 'n', Value::name, "A name."},
    {"options", 'o', Value::fields, "Fields.", true},
    {"sort", 'O', Value::sort_fields, "Sorting."},
    {"separator", 0, Value::separator, "A separator."},
    {"permission", 'p', Value::permission, "r or rw."},
    {"activate", 'a', Value::activation, "y, n or ay."},
    {"readonly", 0, Value::none, "A switch."},
    {"poolmetadatasize", 0, Value::size, "A size."},
    {"poolmetadataspare", 0, Value::yes_no, "y or n."},
    {"thin", 'T', Value::none, "A switch."},
    {"thinpool", 0, Value::text, "A text."},
    {"units", 0, Value::units, "Units."},
};
constexpr OperandSpec operands[] = {
    {"VG", Value::group, "The group."},
    {"PV", Value::physical_volume, "Physical volumes.", false, true},
};
constexpr OperandSpec one_or_two[] = {
    {"FROM", Value::name, "The old name."},
    {"TO", Value::name, "The new name.", false},
};
constexpr Conflict conflicts[] = {{"size", "extents"}};
constexpr CommandSpec command{.name = "tvtest",
                              .summary = "Tests.",
                              .options = options,
                              .operands = operands,
                              .conflicts = conflicts,
                              .run = [](Invocation&) { return exit_ok; }};
constexpr CommandSpec two_operands{
    .name = "tvtwo", .summary = "Tests.", .operands = one_or_two, .run = [](Invocation&) {
        return exit_ok;
    }};
static_assert(well_formed(command) && well_formed(two_operands));

struct Call {
    std::ostringstream out, err;
    std::istringstream in;
    Invocation invocation;
    Result<> outcome;

    explicit Call(const Words& words, const std::string& answers = "",
                  const CommandSpec& spec = command)
        : in(answers),
          invocation(spec, Environment{}, out, err, in),
          outcome(invocation.parse(words)) {}
    bool has(const char* option) const { return invocation.has(option); }
    const std::string& value(const char* option) const { return invocation.value(option); }
    const Words& given() const { return invocation.operands(); }
};

// A command line that is understood.
struct Good : Call {
    explicit Good(const Words& words, const std::string& answers = "") : Call(words, answers) {
        if (!outcome) FAIL(outcome.error().text);
    }
};

std::string refusal(const Words& words, const CommandSpec& spec = command) {
    CAPTURE(words);
    Call call(words, "", spec);
    REQUIRE_FALSE(call.outcome.has_value());
    CHECK(call.outcome.error().code == Errc::invalid_argument);
    CHECK(call.out.str().empty());
    return call.outcome.error().text;
}

}  // namespace

TEST_CASE("a value may follow its option in every way that LVM takes") {
    for (const Words& words : std::vector<Words>{{"-L", "4g", "vg0"},
                                                 {"-L4g", "vg0"},
                                                 {"--size", "4g", "vg0"},
                                                 {"--size=4g", "vg0"},
                                                 {"--si", "4g", "vg0"},
                                                 {"--si=4g", "vg0"},
                                                 {"vg0", "-L", "4g"},
                                                 {"-yL", "4g", "vg0"},
                                                 {"-yL4g", "vg0"}}) {
        CAPTURE(words);
        Good call(words);
        CHECK(call.value("size") == "4g");
        CHECK(call.given() == Words{"vg0"});
        CHECK_FALSE(call.has("extents"));
    }
}

TEST_CASE("values with a sign are values, not options") {
    for (const char* value : {"-4m", "+4m", "-100"}) {
        for (const Words& words : std::vector<Words>{{"-L", value, "vg0"},
                                                     {std::string("-L") + value, "vg0"},
                                                     {"--size", value, "vg0"},
                                                     {std::string("--size=") + value, "vg0"},
                                                     {"--siz", value, "vg0"},
                                                     {"-yL", value, "vg0"}}) {
            CAPTURE(words);
            Good call(words);
            CHECK(call.value("size") == value);
            CHECK(call.given() == Words{"vg0"});
        }
    }
    CHECK(Good({"-l", "-33%LV", "vg0"}).value("extents") == "-33%LV");
    CHECK(Good({"-l", "+100%FREE", "vg0"}).value("extents") == "+100%FREE");
    CHECK(Good({"-O", "-lv_size", "vg0"}).value("sort") == "-lv_size");
    CHECK(Good({"--sort", "-lv_size,+lv_name", "vg0"}).value("sort") == "-lv_size,+lv_name");
    CHECK(Good({"-o", "-lv_tags", "vg0"}).value("options") == "-lv_tags");
    CHECK(Good({"-o", "+lv_tags", "vg0"}).value("options") == "+lv_tags");
    CHECK(Good({"-o-lv_tags", "vg0"}).value("options") == "-lv_tags");
}

TEST_CASE("long options may be shortened as far as they are told apart, and spelled with hyphens") {
    CHECK(Good({"--ext", "5", "vg0"}).value("extents") == "5");
    CHECK(Good({"--poolmetadatasi", "4m", "vg0"}).value("poolmetadatasize") == "4m");
    CHECK(Good({"--pool-metadata-size", "4m", "vg0"}).value("poolmetadatasize") == "4m");
    CHECK(Good({"--pool-metadata-spare=n", "vg0"}).value("poolmetadataspare") == "n");
    CHECK(Good({"--read-only", "vg0"}).has("readonly"));
    CHECK(Good({"--thin", "vg0"}).has("thin"));  // itself, not the beginning of --thinpool
    CHECK(Good({"--verb", "vg0"}).has("verbose"));

    const std::string ambiguous = refusal({"--poolmeta", "4m", "vg0"});
    CHECK_THAT(ambiguous, ContainsSubstring("ambiguous") && ContainsSubstring("--poolmeta'") &&
                              ContainsSubstring("--poolmetadatasize") &&
                              ContainsSubstring("--poolmetadataspare"));
    CHECK_THAT(refusal({"--thi", "vg0"}), ContainsSubstring("ambiguous"));
}

TEST_CASE("options that do not exist are refused by name") {
    CHECK_THAT(refusal({"--bogus", "vg0"}), ContainsSubstring("--bogus"));
    CHECK_THAT(refusal({"--bogus=1", "vg0"}), ContainsSubstring("--bogus"));
    CHECK_THAT(refusal({"-X", "vg0"}), ContainsSubstring("-X"));
    CHECK_THAT(refusal({"-yX", "vg0"}), ContainsSubstring("X"));
    CHECK_THAT(refusal({"--sizes", "1g", "vg0"}), ContainsSubstring("--sizes"));
    refusal({"--SIZE", "1g", "vg0"});
    refusal({"-5", "vg0"});
    refusal({"---", "vg0"});
    refusal({"--=x", "vg0"});
    refusal({"--size", "1g", "-5", "vg0"});
}

TEST_CASE("a value that is missing, or that a switch cannot take, is refused") {
    refusal({"vg0", "-L"});
    refusal({"vg0", "--size"});
    refusal({"vg0", "--size="});
    refusal({"-L", "-n", "a", "vg0"});
    refusal({"--yes=1", "vg0"});
    refusal({"--readonly=y", "vg0"});
}

TEST_CASE("a value may be empty where nothing speaks against it") {
    CHECK(Good({"--separator", "", "vg0"}).value("separator").empty());
    CHECK(Good({"--separator", " ", "vg0"}).value("separator") == " ");
    CHECK(Good({"--separator", "=", "vg0"}).value("separator") == "=");
    CHECK(Good({"--separator", "-", "vg0"}).value("separator") == "-");
    CHECK(Good({"--separator=--", "vg0"}).value("separator") == "--");
    CHECK(Good({"-n", "a=b", "vg0"}).value("name") == "a=b");
    CHECK(Good({"--name=a=b", "vg0"}).value("name") == "a=b");
}

TEST_CASE("switches may be joined, and stand anywhere") {
    Good call({"vg0", "-Ty", "pv0", "-vv", "pv1", "--readonly"});
    CHECK(call.has("thin"));
    CHECK(call.has("yes"));
    CHECK(call.has("readonly"));
    CHECK(call.invocation.values("verbose").size() == 2);
    CHECK(call.given() == Words{"vg0", "pv0", "pv1"});
    CHECK(Good({"-ay", "vg0"}).value("activate") == "y");
    CHECK_FALSE(Good({"-ay", "vg0"}).has("yes"));
    CHECK(Good({"-aay", "vg0"}).value("activate") == "ay");
}

TEST_CASE("behind -- there are operands only, and a lone hyphen is one") {
    CHECK(Good({"--", "-vg", "--size"}).given() == Words{"-vg", "--size"});
    CHECK(Good({"-n", "a", "--", "vg0", "-5"}).given() == Words{"vg0", "-5"});
    CHECK(Good({"--", "a", "--"}).given() == Words{"a", "--"});
    CHECK(Good({"-", "-y"}).given() == Words{"-"});
    CHECK(refusal({"--"}) == refusal({}));
}

TEST_CASE("operands keep their order and every byte") {
    const Words words{"vg0", "a b", "", "=", "+", "%", "@file", "\xff", "*"};
    CHECK(Good(words).given() == words);
}

TEST_CASE("only options that may be repeated may be repeated") {
    CHECK(Good({"-o", "a", "-o", "+b", "--options=c", "vg0"}).invocation.values("options") ==
          Words{"a", "+b", "c"});
    CHECK(Good({"-o", "a", "-o", "+b", "vg0"}).value("options") == "+b");
    CHECK(Good({"-q", "-q", "vg0"}).invocation.values("quiet").size() == 2);
    CHECK_THAT(refusal({"-L", "1g", "-L", "1g", "vg0"}), ContainsSubstring("-L/--size"));
    CHECK_THAT(refusal({"-L", "1g", "--size=1g", "vg0"}), ContainsSubstring("-L/--size"));
    CHECK_THAT(refusal({"--readonly", "--readonly", "vg0"}), ContainsSubstring("--readonly"));
    CHECK_THAT(refusal({"-yy", "vg0"}), ContainsSubstring("--yes"));
}

TEST_CASE("values are checked for what they are, with the option and the value named") {
    const std::string text = refusal({"-L", "1q", "vg0"});
    CHECK_THAT(text, ContainsSubstring("--size") && ContainsSubstring("1q"));
    refusal({"-l", "50%FOO", "vg0"});
    refusal({"--units", "q", "vg0"});
    CHECK_THAT(refusal({"-p", "rx", "vg0"}), ContainsSubstring("rw"));
    refusal({"-a", "", "vg0"});
    CHECK(Good({"-p", "r", "vg0"}).value("permission") == "r");
}

TEST_CASE("options that exclude each other are refused together, by both names") {
    CHECK_THAT(refusal({"-L", "1g", "-l", "5", "vg0"}),
               ContainsSubstring("--size") && ContainsSubstring("--extents"));
}

TEST_CASE("operands are neither too few nor too many") {
    CHECK_THAT(refusal({}), ContainsSubstring("VG"));
    CHECK_THAT(refusal({"-y"}), ContainsSubstring("The group."));
    CHECK(Good({"vg0"}).given().size() == 1);
    CHECK(Good(Words(50, "pv")).given().size() == 50);
    CHECK_THAT(refusal({}, two_operands), ContainsSubstring("FROM"));
    CHECK(Call({"a"}, "", two_operands).outcome.has_value());
    CHECK(Call({"a", "b"}, "", two_operands).outcome.has_value());
    CHECK_THAT(refusal({"a", "b", "third"}, two_operands), ContainsSubstring("\"third\""));
}

TEST_CASE("help and version ask for nothing else") {
    CHECK(Good({"--help"}).has("help"));
    CHECK(Good({"-h"}).has("help"));
    CHECK(Good({"--version"}).has("version"));
    CHECK(Good({"--help", "-L", "1q"}).has("help"));
    refusal({"--help", "--bogus"});
}

TEST_CASE("what was not given has no values, but what the command falls back to") {
    Good call({"vg0"});
    CHECK_FALSE(call.has("name"));
    CHECK(call.invocation.values("name").empty());
    CHECK(call.invocation.value_or("name", "fallback") == "fallback");
    CHECK(Good({"-n", "x", "vg0"}).invocation.value_or("name", "fallback") == "x");
}

TEST_CASE("results go to stdout, all else to stderr, with the exit status LVM has") {
    Good call({"vg0"});
    call.invocation.say("Logical volume \"{}\" created.", "x");
    call.invocation.write("raw");
    CHECK(call.out.str() == "  Logical volume \"x\" created.\nraw");
    CHECK(call.err.str().empty());

    call.invocation.warn("watch out");
    CHECK(call.invocation.fail(Error(Errc::busy, "in use")) == 5);
    CHECK(call.err.str() == "  WARNING: watch out\n  tvtest: in use\n");

    Good other({"vg0"});
    CHECK(other.invocation.usage("no such option") == 3);
    CHECK(other.out.str().empty());
    CHECK_THAT(other.err.str(),
               ContainsSubstring("no such option") && ContainsSubstring("tvtest --help"));
}

TEST_CASE("letters that are no options are refused, whatever they are") {
    CHECK(refusal({"-Z", "vg0"}) == "unrecognised option '-Z'");
    CHECK(refusal({"-yZ", "vg0"}) == "unrecognised option '-Z'");
    CHECK(refusal({"-5", "vg0"}) == "unrecognised option '-5'");
    CHECK(refusal({"-h%original_token%", "vg0"}) == "unrecognised option '-%'");  // never ended
    CHECK_THAT(refusal({"-L%original_token%", "vg0"}), ContainsSubstring("%original_token%"));
}

TEST_CASE("what somebody else wrote is no command to the terminal that shows a message") {
    Good call({"vg0"});
    call.invocation.fail(Error(Errc::corrupt, "read: '\xae', \"\x1b[2J\", caf\u00e9"));
    CHECK(call.err.str() == "  tvtest: read: '\\xae', \\\"\\x1b[2J\\\", caf\u00e9\n");
    Good plain({"vg0"});
    plain.invocation.warn("two\nlines, \\ and \"quotes\"");
    CHECK(plain.err.str() == "  WARNING: two\nlines, \\ and \"quotes\"\n");
}

TEST_CASE("with -q nothing is said of success, but of failure, and results are written") {
    Good call({"-q", "vg0"});
    call.invocation.say("created.");
    CHECK(call.out.str().empty());
    call.invocation.write("report");
    CHECK(call.out.str() == "report");
    call.invocation.fail(Error(Errc::busy, "in use"));
    CHECK_THAT(call.err.str(), ContainsSubstring("in use"));
}

TEST_CASE("a question is answered by the user, by -y, or with no") {
    const auto [words, input, yes, asked] = GENERATE(table<Words, std::string, bool, int>({
        {{"vg0"}, "y\n", true, 1},
        {{"vg0"}, "yes\n", true, 1},
        {{"vg0"}, "Y\n", true, 1},
        {{"vg0"}, "n\n", false, 1},
        {{"vg0"}, "No\n", false, 1},
        {{"vg0"}, "", false, 1},
        {{"vg0"}, "y", true, 1},
        {{"vg0"}, "maybe\ny\n", true, 2},
        {{"vg0"}, "\n\nn\n", false, 3},
        {{"vg0"}, "a\nb\nc\nd\ne\ny\n", false, 3},
        {{"-q", "vg0"}, "y\n", true, 1},
        {{"-y", "vg0"}, "n\n", true, 0},
        {{"-qq", "vg0"}, "y\n", false, 0},
        {{"-q", "-q", "-y", "vg0"}, "", true, 0},
    }));
    CAPTURE(words, input);
    Good call(words, input);
    CHECK(call.invocation.confirm("Really remove?") == yes);
    CHECK(call.out.str().empty());
    int times = 0;
    for (std::size_t at = 0; (at = call.err.str().find("Really remove?", at)) != std::string::npos;
         ++at)
        ++times;
    CHECK(times == asked);
}

}  // namespace thinvol
