#include "libvm/sizes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace thinvol {
namespace {

constexpr std::string_view letters = "bskmgtpe";

Error bad_size(std::string_view text) {
    return {Errc::invalid_argument, fmt::format("can't parse size argument \"{}\"", text)};
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::optional<std::uint64_t> unit_bytes(char letter, std::uint64_t base) {
    if (letter == 'b') return 1;
    if (letter == 's') return sector_bytes;
    const std::size_t power = std::string_view("kmgtpe").find(letter);
    if (power == std::string_view::npos) return std::nullopt;
    std::uint64_t bytes = base;
    for (std::size_t i = 0; i < power; ++i) bytes *= base;
    return bytes;
}

Sign take_sign(std::string_view& text) {
    if (text.starts_with('+')) return text.remove_prefix(1), Sign::plus;
    if (text.starts_with('-')) return text.remove_prefix(1), Sign::minus;
    return Sign::none;
}

// The number in front; the rest stays in `text`. Digits with at most one point.
std::optional<std::string> take_number(std::string_view& text) {
    std::size_t n = 0;
    int points = 0;
    int digits = 0;
    while (n < text.size() &&
           (std::isdigit(static_cast<unsigned char>(text[n])) != 0 || text[n] == '.')) {
        (text[n] == '.' ? points : digits) += 1;
        ++n;
    }
    if (digits == 0 || points > 1 || n > 40) return std::nullopt;
    std::string number(text.substr(0, n));
    text.remove_prefix(n);
    return number;
}

}  // namespace

Result<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error == std::errc() && end == text.data() + text.size()) return n;
    return Error(Errc::invalid_argument, fmt::format("\"{}\" is no number", text));
}

Result<SizeArgument> parse_size(std::string_view whole, char default_unit) {
    std::string_view text = whole;
    SizeArgument argument;
    argument.sign = take_sign(text);
    const auto number = take_number(text);
    if (!number) return bad_size(whole);
    const char letter = text.empty() ? default_unit : lower(text.front());
    const auto unit = unit_bytes(letter, 1024);
    if (!unit) return bad_size(whole);
    if (text.size() > 1) {  // "10GB", "10GiB", "10Gi"
        std::string rest;
        for (char c : text.substr(1)) rest += lower(c);
        if (rest != "b" && rest != "ib" && rest != "i") return bad_size(whole);
    }
    const long double bytes =
        std::strtold(number->c_str(), nullptr) * static_cast<long double>(*unit);
    if (bytes >= 18446744073709551615.0L) {
        return Error(Errc::invalid_argument, fmt::format("size \"{}\" is 16 EiB or more", whole));
    }
    argument.size = Bytes(static_cast<std::uint64_t>(bytes));
    if (argument.size.n % sector_bytes != 0) {
        if (letter == 'b')
            return Error(
                Errc::invalid_argument,
                fmt::format("size \"{}\" is not a multiple of 512. Try using {} or {}.", whole,
                            argument.size.n / 512 * 512, (argument.size.n / 512 + 1) * 512));
        argument.size = Bytes(argument.size.n / sector_bytes * sector_bytes);
    }
    return argument;
}

Result<ExtentsArgument> parse_extents(std::string_view whole) {
    std::string_view text = whole;
    ExtentsArgument argument;
    argument.sign = take_sign(text);
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), argument.number);
    if (error != std::errc() || end == text.data()) return bad_size(whole);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return argument;
    std::string suffix;
    for (char c : text) suffix += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    struct Word {
        std::string_view word;
        std::size_t least;  // letters that are enough
        ExtentsArgument::Of of;
    };
    using Of = ExtentsArgument::Of;
    static constexpr std::array<Word, 5> words{{{"%VG", 2, Of::group},
                                                {"%FREE", 2, Of::free},
                                                {"%PVS", 2, Of::pvs},
                                                {"%LV", 2, Of::volume},
                                                {"%ORIGIN", 2, Of::origin}}};
    for (const Word& w : words) {
        if (suffix.size() >= w.least && w.word.starts_with(suffix)) {
            argument.of = w.of;
            return argument;
        }
    }
    return Error(Errc::invalid_argument, fmt::format("specified {} is unknown", text));
}

Result<Units> parse_units(std::string_view text) {
    const auto invalid = [&] {
        return Error(Errc::invalid_argument,
                     fmt::format("invalid units specification \"{}\"", text));
    };
    std::string_view rest = text;
    Units units;
    std::uint64_t own = 0;
    if (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest.front())) != 0) {
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), own);
        if (error != std::errc() || own == 0) return invalid();
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    }
    if (rest.size() != 1) return invalid();
    units.letter = rest.front();
    const bool named = letters.find(lower(units.letter)) != std::string_view::npos;
    if (!named && lower(units.letter) != 'h' && lower(units.letter) != 'r') return invalid();
    if (own != 0) {
        if (!named) return invalid();
        const bool si = std::isupper(static_cast<unsigned char>(units.letter)) != 0;
        const std::uint64_t unit = *unit_bytes(lower(units.letter), si ? 1000 : 1024);
        if (__builtin_mul_overflow(own, unit, &units.factor)) return invalid();
    }
    return units;
}

namespace {

__extension__ using Wide = unsigned __int128;

// size / unit in hundredths, rounded half up.
Wide hundredths(std::uint64_t size, std::uint64_t unit) {
    return (Wide{size} * 200 + unit) / (Wide{unit} * 2);
}

std::string with_two_digits(Wide hundredths) {
    return fmt::format("{}.{:02}", static_cast<std::uint64_t>(hundredths / 100),
                       static_cast<unsigned>(hundredths % 100));
}

}  // namespace

std::string format_size(Bytes size, const Units& units) {
    if (units.factor != 0) {
        return with_two_digits(hundredths(size.n, units.factor)) + (units.suffix ? "U" : "");
    }
    const char letter = lower(units.letter);
    const bool si = std::isupper(static_cast<unsigned char>(units.letter)) != 0;
    if (letter == 'b')
        return fmt::format("{}{}", size.n, units.suffix ? "B" : "");  // upper case, as LVM
    if (letter == 's') return fmt::format("{}{}", size.n / sector_bytes, units.suffix ? "S" : "");
    const std::uint64_t base = si ? 1000 : 1024;
    char chosen = letter;
    if (letter == 'h' || letter == 'r') {
        if (size.n == 0) return units.suffix ? "0 " : "0";
        chosen = 'k';
        for (char next : std::string_view("mgtpe")) {
            if (size.n >= *unit_bytes(next, base)) chosen = next;
        }
    }
    const std::uint64_t unit = *unit_bytes(chosen, base);
    const Wide rounded = hundredths(size.n, unit);
    const bool rounded_up = letter == 'r' && rounded * unit > Wide{size.n} * 100;
    const char shown =
        si ? static_cast<char>(std::toupper(static_cast<unsigned char>(chosen))) : chosen;
    return fmt::format("{}{}{}", rounded_up ? "<" : "", with_two_digits(rounded),
                       units.suffix ? std::string(1, shown) : "");
}

std::string format_size_long(Bytes size) {
    std::string text = format_size(size, {'h', 0, false});
    if (size.n == 0) return "0 ";
    const std::string unit = format_size(size, {'h', 0, true});
    const char letter = static_cast<char>(std::toupper(static_cast<unsigned char>(unit.back())));
    return fmt::format("{} {}iB", text, letter);
}

std::string format_percent(std::uint64_t part, std::uint64_t whole) {
    if (whole == 0) return "0.00";
    const auto percent =
        static_cast<std::uint64_t>((Wide{part} * 20000 + whole) / (Wide{whole} * 2));
    if (part == 0) return "0.00";
    return with_two_digits(std::max<std::uint64_t>(
        part < whole ? std::min<std::uint64_t>(percent, 9999) : percent, 1));
}

}  // namespace thinvol
