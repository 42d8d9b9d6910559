#include "libvm/times.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <ctime>
#include <optional>
#include <vector>

namespace thinvol {
namespace {

constexpr std::int64_t day = 24 * 60 * 60;

std::tm local(std::int64_t seconds) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm parts{};
    ::localtime_r(&time, &parts);
    return parts;
}

std::int64_t seconds_of(std::tm parts) {
    parts.tm_isdst = -1;
    return std::mktime(&parts);
}

// The local day that lies `days` before that of `now`.
TimeRange day_before(std::int64_t now, int days) {
    std::tm parts = local(now);
    parts.tm_hour = parts.tm_min = parts.tm_sec = 0;
    parts.tm_mday -= days;
    const std::int64_t first = seconds_of(parts);
    parts.tm_mday += 1;
    return {first, seconds_of(parts) - 1};
}

std::optional<TimeRange> named_day(std::string_view text, std::int64_t now) {
    constexpr std::array<std::string_view, 7> week{"sunday",   "monday", "tuesday", "wednesday",
                                                   "thursday", "friday", "saturday"};
    if (text == "now") return TimeRange{now, now};
    if (text == "today") return day_before(now, 0);
    if (text == "yesterday") return day_before(now, 1);
    for (int d = 0; d < 7; ++d) {
        if (text == week[static_cast<std::size_t>(d)])
            return day_before(now, (local(now).tm_wday - d + 7) % 7);
    }
    return std::nullopt;
}

// Takes digits off the front: at most `most` of them.
std::optional<std::int64_t> take_digits(std::string_view& text, std::size_t most) {
    std::int64_t n = 0;
    std::size_t used = 0;
    while (used < most && used < text.size() &&
           std::isdigit(static_cast<unsigned char>(text[used])) != 0)
        n = n * 10 + (text[used++] - '0');
    if (used == 0) return std::nullopt;
    text.remove_prefix(used);
    return n;
}
bool take(std::string_view& text, std::string_view what) {
    if (!text.starts_with(what)) return false;
    text.remove_prefix(what.size());
    return true;
}
void skip_blanks(std::string_view& text) {
    while (text.starts_with(' ')) text.remove_prefix(1);
}

std::optional<std::int64_t> unit_seconds(std::string_view word) {
    struct Unit {
        std::string_view letter, name;
        std::int64_t seconds;
    };
    constexpr std::array<Unit, 7> units{{{"s", "second", 1},
                                         {"m", "minute", 60},
                                         {"h", "hour", 3600},
                                         {"d", "day", day},
                                         {"w", "week", 7 * day},
                                         {"", "month", 30 * day},
                                         {"y", "year", 365 * day}}};
    for (const Unit& u : units) {
        const bool plural = word.ends_with('s') && word.substr(0, word.size() - 1) == u.name;
        if (!word.empty() && (word == u.letter || word == u.name || plural)) return u.seconds;
    }
    return std::nullopt;
}

// "2 weeks 3h ago"
std::optional<TimeRange> ago(std::string_view text, std::int64_t now) {
    std::int64_t back = 0;
    for (bool any = false;; any = true) {
        skip_blanks(text);
        if (any && text == "ago") return TimeRange{now - back, now - back};
        constexpr std::size_t most_digits = 9;
        const auto n = take_digits(text, most_digits);
        if (!n) return std::nullopt;
        skip_blanks(text);
        std::size_t letters = 0;
        while (letters < text.size() &&
               std::isalpha(static_cast<unsigned char>(text[letters])) != 0)
            ++letters;
        const auto unit = unit_seconds(text.substr(0, letters));
        if (!unit) return std::nullopt;
        text.remove_prefix(letters);
        back += *n * *unit;
    }
}

// Seconds east of Greenwich; nothing: none given.
std::optional<std::int64_t> take_offset(std::string_view& text) {
    if (take(text, "Z")) return 0;
    const bool west = text.starts_with('-');
    if (!west && !text.starts_with('+')) return std::nullopt;
    text.remove_prefix(1);
    const auto hours = take_digits(text, 2);
    take(text, ":");
    const auto minutes = take_digits(text, 2);
    const std::int64_t seconds = hours.value_or(0) * 3600 + minutes.value_or(0) * 60;
    return west ? -seconds : seconds;
}

bool within(std::optional<std::int64_t> n, std::int64_t first, std::int64_t last) {
    return n && *n >= first && *n <= last;
}

std::optional<TimeRange> date(std::string_view text) {
    std::tm first{};
    first.tm_mday = 1;
    int std::tm::* step = &std::tm::tm_year;
    const auto year = take_digits(text, 4);
    if (!within(year, 1970, 9999)) return std::nullopt;
    first.tm_year = static_cast<int>(*year) - 1900;
    const auto part = [&](std::string_view sign, int std::tm::* which, int least, int most) {
        if (!take(text, sign)) return true;
        const auto n = take_digits(text, 2);
        if (!within(n, least, most)) return false;
        first.*which = static_cast<int>(*n) - (which == &std::tm::tm_mon ? 1 : 0);
        step = which;
        return true;
    };
    if (!part("-", &std::tm::tm_mon, 1, 12)) return std::nullopt;
    if (step == &std::tm::tm_mon && !part("-", &std::tm::tm_mday, 1, 31)) return std::nullopt;
    if (step == &std::tm::tm_mday) {
        const bool hour = !text.empty() && (text[0] == ' ' || text[0] == 'T');
        if (hour) {
            text.remove_prefix(1);
            if (!part("", &std::tm::tm_hour, 0, 23) || !part(":", &std::tm::tm_min, 0, 59) ||
                (step == &std::tm::tm_min && !part(":", &std::tm::tm_sec, 0, 60)))
                return std::nullopt;
        }
    }
    skip_blanks(text);
    const auto offset = take_offset(text);
    if (!text.empty()) return std::nullopt;
    std::tm last = first;
    last.*step += 1;
    if (offset) return TimeRange{::timegm(&first) - *offset, ::timegm(&last) - *offset - 1};
    return TimeRange{seconds_of(first), seconds_of(last) - 1};
}

}  // namespace

Result<TimeRange> parse_time(std::string_view text, std::int64_t now) {
    if (const auto named = named_day(text, now)) return *named;
    if (std::string_view rest = text; take(rest, "@")) {
        constexpr std::size_t most_digits = 12;
        const auto n = take_digits(rest, most_digits);
        if (n && rest.empty()) return TimeRange{*n, *n};
    }
    if (const auto found = date(text)) return *found;
    if (const auto found = ago(text, now)) return *found;
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" is no time; write @SECONDS, 2026-05-01 12:30, today, monday "
                             "or 2 weeks ago",
                             text));
}

std::string format_time(std::int64_t seconds) {
    return fmt::format("{:%Y-%m-%d %H:%M:%S %z}", local(seconds));
}

}  // namespace thinvol
