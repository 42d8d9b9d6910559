// Goal: a thinvol.toml that is none ends in an error that names file and line, whatever it holds.
// Method: files in a temporary directory; mistakes that the library asserts, or takes for
// impossible, among them.
#include "libvm/config_file.h"

#include <fstream>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Written {
    TemporaryDirectory dir;
    std::filesystem::path path = dir.path() / "thinvol.toml";

    explicit Written(std::string_view text) {
        std::ofstream(path, std::ios::binary) << text;
        std::filesystem::permissions(path, std::filesystem::perms(0600));
    }
};

std::string error_of(std::string_view text) {
    CAPTURE(text);
    const Written file(text);
    const auto read = read_config_file(file.path);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == Errc::invalid_argument);
    return read.error().text;
}

}  // namespace

TEST_CASE("a key that begins with what no key has is refused, with its line") {
    CHECK_THAT(error_of("[='e!'"), ContainsSubstring("thinvol.toml:1: "));
    CHECK_THAT(error_of("\n\n[a.=]\n"), ContainsSubstring("thinvol.toml:3: "));
    CHECK_THAT(error_of("[nbd]\ntls=\"off\"\n.a=1\n"), ContainsSubstring("thinvol.toml:3: "));
}

TEST_CASE("what is not ASCII stands in strings and comments only") {
    for (const char* text :
         {"\xc5\xa3", "\n\xc5\xa3=1", "a=2'id\xc3\x8c\xc2\x95", "a=\xc2\xa0 1", "a='x'\xc5\xa3",
          "a=\"\\\"\"\xc5\xa3", "uid=0p.[=0='\xef\xb9\xbf", "a='''x'''\xc5\xa3"})
        CHECK_THAT(error_of(text), ContainsSubstring("thinvol.toml:"));
    CHECK_THAT(error_of("# \xc5\xa3\n\xc5\xa3=1"), ContainsSubstring("thinvol.toml:2: "));
    const Written file(
        "\xef\xbb\xbf# \xc5\xa3 's\n[nbd]\ntls_keys=\"/k\xc5\xa3\\\"ys\" # \"\n"
        "tls_certificates='''\n/\xc5\xa3''\n'''\n[events]\nhook=['/\xc5\xa3']\n");
    const auto read = must(read_config_file(file.path));
    CHECK(read.problems.empty());
    REQUIRE(read.settings.size() == 3);
    for (const Assignment& a : read.settings)
        CHECK_THAT(a.value.front(), ContainsSubstring("\xc5\xa3"));
}

}  // namespace thinvol
