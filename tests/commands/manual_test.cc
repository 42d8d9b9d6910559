// Goal: the manual and --longhelp say all that is declared, of every command, and troff takes none
// of it for its own.
// Method: over the table of commands; mandoc judges the pages in tests/e2e/install.sh.
#include "commands/manual.h"

#include <algorithm>
#include <sstream>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "commands/description.h"
#include "commands/help.h"
#include "commands/invocation.h"
#include "commands/table.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

std::string plain(std::string page) {
    for (const char* escape : {"\\fB", "\\fI", "\\fR", "\\&"}) {
        for (std::size_t at = 0; (at = page.find(escape)) != std::string::npos;)
            page.erase(at, std::string_view(escape).size());
    }
    std::erase(page, '\\');
    return page;
}

}  // namespace

TEST_CASE("every command is described, and nothing else is") {
    const auto all = all_descriptions();
    CHECK(std::is_sorted(all.begin(), all.end()));
    for (const auto& [name, text] : all) {
        CAPTURE(name);
        CHECK(find_command(name) != nullptr);
        CHECK(text.ends_with('.') + text.ends_with(".\n") > 0);
    }
    for (const CommandSpec* spec : all_commands()) {
        CAPTURE(spec->name);
        if (!spec->hidden) CHECK_FALSE(description_of(*spec).empty());
    }
}

TEST_CASE("a page has its command's options, operands and examples, and so has --longhelp") {
    for (const CommandSpec* spec : all_commands()) {
        CAPTURE(spec->name);
        for (const std::string& text : {plain(manual_page(*spec)), long_help_of(*spec)}) {
            for (const OptionSpec& o : spec->options)
                CHECK_THAT(text, ContainsSubstring("--" + std::string(o.name)) &&
                                     ContainsSubstring(std::string(o.help)));
            for (const OptionSpec& o : common_options())
                CHECK_THAT(text, ContainsSubstring("--" + std::string(o.name)));
            for (const OperandSpec& o : spec->operands)
                CHECK_THAT(text, ContainsSubstring(std::string(o.name)));
            for (const std::string_view example : spec->examples)
                CHECK_THAT(text, ContainsSubstring(std::string(example)));
        }
    }
}

TEST_CASE("no line of text begins as a request does") {
    constexpr std::string_view requests[] = {".TH ", ".SH ", ".TP", ".PP",
                                             ".nf",  ".fi",  ".br", ".BR "};
    for (const CommandSpec* spec : all_commands()) {
        std::istringstream page(manual_page(*spec) + manual_overview());
        for (std::string line; std::getline(page, line);) {
            CAPTURE(spec->name, line);
            CHECK(line.find("\\e") == std::string::npos);
            if (!line.starts_with('.') && !line.starts_with('\'')) continue;
            CHECK(std::any_of(std::begin(requests), std::end(requests),
                              [&](std::string_view r) { return line.starts_with(r); }));
        }
    }
}

TEST_CASE("the overview lists every command") {
    const std::string text = plain(manual_overview());
    for (const CommandSpec* spec : all_commands()) {
        if (!spec->hidden) CHECK_THAT(text, ContainsSubstring(page_name(*spec) + "(8)"));
    }
}

}  // namespace thinvol
