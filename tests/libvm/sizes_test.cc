// Goal: sizes mean to us what they mean to LVM, on the way in and on the way out.
// Method: tables of texts and numbers, one row for each rule of lvm(8) and of lvs(8) on --units.
#include "libvm/sizes.h"

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

constexpr std::uint64_t kib = 1024, mib = kib << 10, gib = kib << 20, tib = kib << 30,
                        pib = kib << 40, eib = kib << 50;

std::string size_text(std::uint64_t bytes, std::string_view units, bool suffix = true) {
    Units parsed = must(parse_units(units));
    parsed.suffix = suffix;
    return format_size(Bytes(bytes), parsed);
}

}  // namespace

TEST_CASE("a size has a number and a letter of either case, based on 1024") {
    const struct {
        const char* text;
        std::uint64_t bytes;
    } cases[] = {
        {"512b", 512},
        {"1s", 512},
        {"3S", 1536},
        {"1k", kib},
        {"1K", kib},
        {"1m", mib},
        {"1M", mib},
        {"1g", gib},
        {"1G", gib},
        {"1t", tib},
        {"1T", tib},
        {"1p", pib},
        {"1P", pib},
        {"1e", eib},
        {"15E", 15 * eib},
        {"1024B", 1024},
        {"0", 0},
        {"0g", 0},
        {"007m", 7 * mib},
        {"1.5g", gib + gib / 2},
        {".5g", gib / 2},
        {"1.g", gib},
        {"0.25m", mib / 4},
        {"2.5s", 1024},
        {"0.5k", 512},
        {"10GB", 10 * gib},
        {"10GiB", 10 * gib},
        {"10Gi", 10 * gib},
        {"10gib", 10 * gib},
        {"4kB", 4 * kib},
        {"1.000001g", gib + 1024},  // down to a sector
    };
    for (const auto& c : cases) {
        CAPTURE(c.text);
        const SizeArgument argument = must(parse_size(c.text, 'm'));
        CHECK(argument.size == Bytes(c.bytes));
        CHECK(argument.sign == Sign::none);
    }
}

TEST_CASE("a size without a letter has the unit of its option") {
    CHECK(must(parse_size("64", 'k')).size == Bytes(64 * kib));
    CHECK(must(parse_size("64", 'm')).size == Bytes(64 * mib));
    CHECK(must(parse_size("1024", 'b')).size == Bytes(1024));
    CHECK(must(parse_size("8", 's')).size == Bytes(4096));
    CHECK(must(parse_size("1.5", 'g')).size == Bytes(gib + gib / 2));
    CHECK(must(parse_size("2k", 'm')).size == Bytes(2 * kib));
}

TEST_CASE("the sign of a size is kept apart from it") {
    const struct {
        const char* text;
        Sign sign;
    } cases[] = {{"1g", Sign::none}, {"+1g", Sign::plus}, {"-1g", Sign::minus}};
    for (const auto& c : cases) {
        CAPTURE(c.text);
        CHECK(must(parse_size(c.text, 'm')).sign == c.sign);
        CHECK(must(parse_size(c.text, 'm')).size == Bytes(gib));
    }
}

TEST_CASE("bytes must be a multiple of 512, and the neighbours are named") {
    const auto outcome = parse_size("700b", 'm');
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::invalid_argument);
    CHECK(outcome.error().text.find("is not a multiple of 512. Try using 512 or 1024.") !=
          std::string::npos);
    for (const char* text : {"1b", "511b", "513b", "1000B", "+513b", "-1b"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_size(text, 'm').has_value());
    }
    CHECK_FALSE(parse_size("1000", 'b').has_value());
}

TEST_CASE("a size of 16 EiB or more is refused, one sector less is not") {
    CHECK(must(parse_size("18446744073709551104b", 'm')).size == Bytes(18446744073709551104ULL));
    CHECK(must(parse_size("36028797018963967s", 'm')).size == Bytes(18446744073709551104ULL));
    for (const char* text : {"16e", "16E", "16384p", "18446744073709551616b", "36028797018963968s",
                             "99999999999999999999e", "+16e"}) {
        CAPTURE(text);
        const auto outcome = parse_size(text, 'm');
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::invalid_argument);
        CHECK(outcome.error().text.find("16 EiB") != std::string::npos);
    }
}

TEST_CASE("text that is no size is refused and shown") {
    for (const char* text :
         {"",    "+",    "-",   "g",     ".",      ".g",   "1q",   "1gx",
          "1 g", " 1g",  "1g ", "1..5g", "1.5.5g", "++1g", "+-1g", "0x10",
          "1e5", "1,5g", "nan", "inf",   "ten",    "10%",  "1kk",  "1\xc3\xa4"}) {
        CAPTURE(text);
        const auto outcome = parse_size(text, 'm');
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::invalid_argument);
        CHECK(outcome.error().text.find(std::string("\"") + text + "\"") != std::string::npos);
    }
    CHECK(parse_size("1q", 'm').error().text.starts_with("can't parse size argument"));
}

TEST_CASE("extents are a number, or a percentage of something that may be shortened") {
    using Of = ExtentsArgument::Of;
    const struct {
        const char* text;
        Sign sign;
        std::uint64_t number;
        Of of;
    } cases[] = {
        {"100", Sign::none, 100, Of::extents},   {"+100", Sign::plus, 100, Of::extents},
        {"-7", Sign::minus, 7, Of::extents},     {"50%VG", Sign::none, 50, Of::group},
        {"50%V", Sign::none, 50, Of::group},     {"50%vg", Sign::none, 50, Of::group},
        {"100%FREE", Sign::none, 100, Of::free}, {"100%FR", Sign::none, 100, Of::free},
        {"100%F", Sign::none, 100, Of::free},    {"+25%free", Sign::plus, 25, Of::free},
        {"10%PVS", Sign::none, 10, Of::pvs},     {"10%PV", Sign::none, 10, Of::pvs},
        {"10%P", Sign::none, 10, Of::pvs},       {"+33%LV", Sign::plus, 33, Of::volume},
        {"-33%L", Sign::minus, 33, Of::volume},  {"5%ORIGIN", Sign::none, 5, Of::origin},
        {"5%OR", Sign::none, 5, Of::origin},     {"5%O", Sign::none, 5, Of::origin},
        {"300%Vg", Sign::none, 300, Of::group},  {"0", Sign::none, 0, Of::extents},
    };
    for (const auto& c : cases) {
        CAPTURE(c.text);
        const ExtentsArgument argument = must(parse_extents(c.text));
        CHECK(argument.sign == c.sign);
        CHECK(argument.number == c.number);
        CHECK(argument.of == c.of);
    }
}

TEST_CASE("extents that are no number, or a percentage of nothing known, are refused") {
    for (const char* text : {"", "+", "%VG", "x", "--1", "99999999999999999999", "VG", "1.5", "1g",
                             "50%", "50%FOO", "50%FREEX", "50%VGS", "50 %VG"}) {
        CAPTURE(text);
        const auto outcome = parse_extents(text);
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::invalid_argument);
    }
    CHECK(parse_extents("50%FOO").error().text == "specified %FOO is unknown");
}

TEST_CASE("the option --units takes one letter, or a number and a letter") {
    for (const char* text : {"r", "R", "h", "H", "b", "s", "k", "m", "g",  "t",    "p",  "e",
                             "B", "S", "K", "M", "G", "T", "P", "E", "4m", "512b", "1K", "10s"}) {
        CAPTURE(text);
        CHECK(must(parse_units(text)).letter == text[std::string_view(text).size() - 1]);
    }
    CHECK(must(parse_units("4m")).factor == 4 * mib);
    CHECK(must(parse_units("512b")).factor == 512);
    CHECK(must(parse_units("3M")).factor == 3000000);
    CHECK(must(parse_units("2s")).factor == 1024);
    for (const char* text : {"", "q", "gg", "g4", "0m", "4", "4h", "4r", "-4m", "4.5m", "4 m",
                             "99999999999e", "99999999999999999999b", "GiB"}) {
        CAPTURE(text);
        REQUIRE_FALSE(parse_units(text).has_value());
        CHECK(parse_units(text).error().text.starts_with("invalid units specification"));
    }
}

TEST_CASE("a size is printed in the unit asked for, lower case by 1024, upper case by 1000") {
    const struct {
        std::uint64_t bytes;
        const char* units;
        const char* text;
    } cases[] = {
        {gib, "b", "1073741824B"},
        {gib, "s", "2097152S"},
        {gib, "k", "1048576.00k"},
        {gib, "m", "1024.00m"},
        {gib, "g", "1.00g"},
        {gib, "t", "0.00t"},
        {3 * gib / 2, "g", "1.50g"},
        {tib, "t", "1.00t"},
        {pib, "p", "1.00p"},
        {2 * eib, "e", "2.00e"},
        {1000000, "K", "1000.00K"},
        {1000000, "M", "1.00M"},
        {1500000000, "G", "1.50G"},
        {1000000000000, "T", "1.00T"},
        {gib, "h", "1.00g"},
        {gib, "H", "1.07G"},
        {512 * mib, "h", "512.00m"},
        {64 * kib, "h", "64.00k"},
        {10 * gib, "4m", "2560.00U"},
        {4096, "512b", "8.00U"},
        {0, "h", "0 "},
        {0, "r", "0 "},
        {0, "m", "0.00m"},
        {0, "b", "0B"},
        {1023 * mib, "h", "1023.00m"},
        {1024 * mib, "h", "1.00g"},
        {15 * eib, "r", "15.00e"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.bytes, c.units);
        CHECK(size_text(c.bytes, c.units) == c.text);
    }
}

TEST_CASE("r marks what had to be rounded up, and only that") {
    CHECK(size_text(2 * gib - 4 * mib, "r") == "<2.00g");
    CHECK(size_text(2 * gib - 4 * mib, "h") == "2.00g");
    CHECK(size_text(10 * gib - 240 * mib, "r") == "<9.77g");
    CHECK(size_text(2 * gib + 4 * mib, "r") == "2.00g");  // rounded down
    CHECK(size_text(3 * gib / 2, "r") == "1.50g");
    CHECK(size_text(2000000000 - 1000, "R") == "<2.00G");
    CHECK(must(parse_units("r")).letter == Units{}.letter);
}

TEST_CASE("without suffix only the number is printed") {
    CHECK(size_text(gib, "g", false) == "1.00");
    CHECK(size_text(gib, "b", false) == "1073741824");
    CHECK(size_text(gib, "s", false) == "2097152");
    CHECK(size_text(gib, "4m", false) == "256.00");
    CHECK(size_text(2 * gib - mib, "r", false) == "<2.00");
    CHECK(size_text(0, "h", false) == "0");
}

TEST_CASE("messages have the long form of a size") {
    CHECK(format_size_long(Bytes(10 * gib)) == "10.00 GiB");
    CHECK(format_size_long(Bytes(12 * mib)) == "12.00 MiB");
    CHECK(format_size_long(Bytes(64 * kib)) == "64.00 KiB");
    CHECK(format_size_long(Bytes(tib + tib / 4)) == "1.25 TiB");
    CHECK(format_size_long(Bytes(eib)) == "1.00 EiB");
}

TEST_CASE("a percentage of something is never 0.00, of less than all never 100.00") {
    const struct {
        std::uint64_t part, whole;
        const char* text;
    } cases[] = {
        {0, 100, "0.00"},
        {1, 100, "1.00"},
        {1294, 10000, "12.94"},
        {100, 100, "100.00"},
        {1, 1000000000, "0.01"},
        {1, 20001, "0.01"},
        {999999999, 1000000000, "99.99"},
        {20000, 20001, "99.99"},
        {1, 3, "33.33"},
        {2, 3, "66.67"},
        {~0ULL - 1, ~0ULL, "99.99"},
        {~0ULL, ~0ULL, "100.00"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.part, c.whole);
        CHECK(format_percent(c.part, c.whole) == c.text);
    }
}

}  // namespace thinvol
