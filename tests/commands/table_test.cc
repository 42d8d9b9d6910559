// Goal: every command can be found, is declared without contradiction, and is explained in full; a
// declaration that contradicts itself does not pass.
// Method: the table of commands, walked through; small declarations with one mistake each.
#include "commands/table.h"

#include <optional>
#include <set>
#include <sstream>

#include "commands/help.h"
#include "commands/invocation.h"
#include "commands/values.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

int run_nothing(Invocation&) { return exit_ok; }

constexpr CommandSpec sound{.name = "x", .summary = "Sound.", .run = run_nothing};

template <class Change>
constexpr bool passes(Change&& change) {
    CommandSpec spec = sound;
    change(spec);
    return well_formed(spec);
}

// What the command is given in an example, which may be a line of shell with a remark behind two
// spaces; nothing if the command is not in it.
std::optional<std::vector<std::string>> words_of_example(std::string_view example,
                                                         std::string_view command) {
    std::istringstream in{std::string(example.substr(0, example.find("  ")))};
    std::optional<std::vector<std::string>> found;
    for (std::string word; in >> word;) {
        if (found && (word == "&&" || word == "|" || word == ">" || word == "<")) break;
        if (found) found->push_back(word);
        else if (word == command) found.emplace();
    }
    return found;
}

}  // namespace

TEST_CASE("each command is found by its name, and by nothing else") {
    for (const CommandSpec* spec : all_commands()) CHECK(find_command(spec->name) == spec);
    for (const char* name : {"", "tv", "tvcreat", "tvcreatex", "TVCREATE", " tvcreate"})
        CHECK(find_command(name) == nullptr);
    for (const char* name :
         {"tvgcreate", "tvgextend", "tvgreduce",      "tvgremove",  "tvgrename", "tvgs",
          "tvpvs",     "tvs",       "tvcreate",       "tvsnapshot", "tvextend",  "tvreduce",
          "tvresize",  "tvremove",  "tvrename",       "tvchange",   "tvcheck",   "tvdump",
          "tvdelta",   "tvls",      "tvmetadatasize", "tvrmap",     "tvtrim",    "tvrepair",
          "tvrestore", "tvscan",    "tvdisplay",      "help",       "version"})
        CHECK(find_command(name) != nullptr);
}

TEST_CASE("commands are sorted by name, and no name is there twice") {
    const auto all = all_commands();
    for (std::size_t i = 1; i < all.size(); ++i) {
        CAPTURE(all[i]->name);
        CHECK(all[i - 1]->name < all[i]->name);
    }
}

TEST_CASE("every declaration is well formed, also together with the options of all commands") {
    for (const CommandSpec* spec : all_commands()) {
        CAPTURE(spec->name);
        CHECK(well_formed(*spec));
        std::vector<OptionSpec> options(spec->options.begin(), spec->options.end());
        options.insert(options.end(), common_options().begin(), common_options().end());
        CommandSpec whole = *spec;
        whole.options = options;
        CHECK(well_formed(whole));
    }
}

TEST_CASE("no long option is the beginning of others only, once hyphens do not count") {
    for (const CommandSpec* spec : all_commands()) {
        std::set<std::string> names;
        for (const OptionSpec& o : spec->options) {
            CAPTURE(spec->name, o.name);
            std::string name(o.name);
            std::erase(name, '-');
            CHECK(names.insert(name).second);
        }
    }
}

TEST_CASE("help shows everything that is declared") {
    for (const CommandSpec* spec : all_commands()) {
        CAPTURE(spec->name);
        const std::string help = help_of(*spec);
        const auto shows = [&](std::string_view text) {
            CAPTURE(text);
            CHECK(help.find(text) != std::string::npos);
        };
        shows(spec->name);
        shows(spec->summary);
        for (const auto options : {spec->options, common_options()}) {
            for (const OptionSpec& o : options) {
                shows(o.help);
                shows((o.letter == 0 ? "" : std::string("-") + o.letter + "|") + "--" +
                      std::string(o.name) + (o.value == Value::none ? "" : " ") +
                      std::string(metavariable(o.value)));
            }
        }
        for (const OperandSpec& o : spec->operands) {
            shows(o.name);
            shows(o.help);
        }
        for (const Conflict& c : spec->conflicts)
            shows("--" + std::string(c.one) + " and --" + std::string(c.other));
        for (const std::string_view example : spec->examples) shows(example);
    }
}

TEST_CASE("the list of commands has all but the hidden ones") {
    const std::string help = help_of_all();
    for (const CommandSpec* spec : all_commands()) {
        CAPTURE(spec->name);
        CHECK((help.find(spec->summary) != std::string::npos) == !spec->hidden);
    }
}

TEST_CASE("every example is a command line that its command understands") {
    for (const CommandSpec* spec : all_commands()) {
        for (const std::string_view example : spec->examples) {
            CAPTURE(example);
            const auto words = words_of_example(example, spec->name);
            REQUIRE(words.has_value());
            std::ostringstream out, err;
            std::istringstream none;
            Invocation call(*spec, Environment{}, out, err, none);
            if (const auto parsed = call.parse(*words); !parsed) FAIL_CHECK(parsed.error().text);
        }
    }
}

TEST_CASE("a command that is given nonsense refuses it, whichever it is") {
    for (const CommandSpec* spec : all_commands()) {
        CAPTURE(spec->name);
        std::ostringstream out, err;
        std::istringstream none;
        Invocation call(*spec, Environment{}, out, err, none);
        CHECK_FALSE(call.parse({"--no-such-option"}).has_value());
        CHECK(out.str().empty());
    }
}

TEST_CASE("a declaration that contradicts itself does not pass") {
    static constexpr OptionSpec a{"size", 'L', Value::size, "Help."};
    static constexpr OptionSpec same_name[] = {a, {"size", 0, Value::none, "Help."}};
    static constexpr OptionSpec same_letter[] = {a, {"other", 'L', Value::none, "Help."}};
    static constexpr OptionSpec no_letters[] = {{"one", 0, Value::none, "Help."},
                                                {"other", 0, Value::none, "Help."}};
    static constexpr OptionSpec no_name[] = {{"", 'x', Value::none, "Help."}};
    static constexpr OptionSpec no_help[] = {{"one", 'x', Value::none, ""}};
    static constexpr OperandSpec optional_first[] = {{"A", Value::text, "Help.", false},
                                                     {"B", Value::text, "Help."}};
    static constexpr OperandSpec in_order[] = {{"A", Value::text, "Help."},
                                               {"B", Value::text, "Help.", false, true}};
    static constexpr OperandSpec two_repeated[] = {{"A", Value::text, "Help.", true, true},
                                                   {"B", Value::text, "Help.", true, true}};
    static constexpr Conflict unknown[] = {{"one", "nothing"}};
    static constexpr Conflict known[] = {{"one", "other"}};

    CHECK(well_formed(sound));
    CHECK_FALSE(passes([](CommandSpec& s) { s.name = ""; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.summary = ""; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.summary = "no full stop"; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.run = nullptr; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.options = same_name; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.options = same_letter; }));
    CHECK(passes([](CommandSpec& s) { s.options = no_letters; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.options = no_name; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.options = no_help; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.operands = optional_first; }));
    CHECK(passes([](CommandSpec& s) { s.operands = in_order; }));
    CHECK_FALSE(passes([](CommandSpec& s) { s.operands = two_repeated; }));
    CHECK_FALSE(passes([](CommandSpec& s) {
        s.options = no_letters;
        s.conflicts = unknown;
    }));
    CHECK(passes([](CommandSpec& s) {
        s.options = no_letters;
        s.conflicts = known;
    }));
}

}  // namespace thinvol
