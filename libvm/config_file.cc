#include "libvm/config_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>

#include "engine/base/unique_fd.h"

// A template library of some size: this is the one file that includes it. What it asserts, or with
// NDEBUG tells the optimiser, is not so for every text that it goes on to refuse.
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace thinvol {
namespace {

Error failed(const std::filesystem::path& path) {
    return {Errc::io_error, fmt::format("{}: {}", path.string(), std::strerror(errno))};
}

Result<std::optional<std::string>> contents(const std::filesystem::path& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::optional<std::string>();
    if (!fd) return failed(path);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return failed(path);
    if (!S_ISREG(st.st_mode))
        return Error(Errc::invalid_argument, fmt::format("{} is not a file", path.string()));
    if ((st.st_uid != ::geteuid() && st.st_uid != 0) || (st.st_mode & 022) != 0)
        return Error(Errc::invalid_argument,
                     fmt::format("{} can be written by others (owner {}, mode {:o}): chown it to "
                                 "user {}, chmod go-w",
                                 path.string(), st.st_uid, st.st_mode & 07777, ::geteuid()));
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t n; (n = ::read(fd.get(), buffer.data(), buffer.size())) != 0;) {
        if (n < 0 && errno != EINTR) return failed(path);
        if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return std::optional(std::move(text));
}

bool is_ascii(char c) { return static_cast<signed char>(c) >= 0; }

// Behind the string that begins with the quote at `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
    const char quote = text[at];
    const std::string three(3, quote);
    const bool long_one = text.substr(at, 3) == three;
    for (at += long_one ? 3 : 1; at < text.size(); ++at) {
        if (quote == '"' && text[at] == '\\') ++at;
        else if (long_one && text.substr(at, 3) == three) return at + 3;
        else if (!long_one && text[at] == quote) return at + 1;
    }
    return text.size();
}

// Of TOML that is right but perhaps for that: the line of the first character that is not ASCII,
// outside strings and comments.
std::optional<std::ptrdiff_t> foreign_line(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    for (std::size_t at = 0; at < text.size();) {
        if (!is_ascii(text[at])) return 1 + std::count(text.begin(), text.begin() + at, '\n');
        if (text[at] == '#') at = std::min(text.find('\n', at), text.size());
        else if (text[at] == '"' || text[at] == '\'') at = end_of_string(text, at);
        else ++at;
    }
    return std::nullopt;
}

Result<toml::table> parse_as_it_is(std::string_view text, const std::string& path) {
    toml::parse_result parsed = toml::parse(text, path);
    if (parsed) return std::move(parsed).table();
    return Error(Errc::invalid_argument,
                 fmt::format("{}:{}: {}", path, parsed.error().source().begin.line,
                             parsed.error().description()));
}

// Other characters stand in strings and comments only. Elsewhere the library is undefined for some
// of them; so what it gets first has blanks instead.
Result<toml::table> parse(std::string_view text, const std::string& path) {
    if (std::all_of(text.begin(), text.end(), is_ascii)) return parse_as_it_is(text, path);
    std::string blanked(text);
    std::replace_if(blanked.begin(), blanked.end(), std::not_fn(is_ascii), ' ');
    TRY(parse_as_it_is(blanked, path));
    if (const auto line = foreign_line(text)) {
        return Error(Errc::invalid_argument,
                     fmt::format("{}:{}: a character that is not ASCII, outside of strings and "
                                 "comments",
                                 path, *line));
    }
    return parse_as_it_is(text, path);
}

// The items of a value of the setting's own TOML type.
std::optional<SettingValue> items_of(const SettingSpec& spec, const toml::node& node) {
    using Type = SettingType;
    const auto integer = [](const toml::node& n) { return fmt::format("{}", n.ref<int64_t>()); };
    if (spec.type == Type::flag && node.is_boolean())
        return SettingValue{node.ref<bool>() ? "true" : "false"};
    if (spec.type == Type::number && node.is_integer()) return SettingValue{integer(node)};
    if ((spec.type == Type::size || spec.type == Type::word || spec.type == Type::text) &&
        node.is_string())
        return SettingValue{node.ref<std::string>()};
    if ((spec.type != Type::strings && spec.type != Type::numbers) || !node.is_array()) return {};
    SettingValue value;
    for (const toml::node& item : *node.as_array()) {
        if (spec.type == Type::strings && item.is_string())
            value.push_back(item.ref<std::string>());
        else if (spec.type == Type::numbers && item.is_integer()) value.push_back(integer(item));
        else return {};
    }
    return value;
}

class Reader {
public:
    explicit Reader(const std::filesystem::path& path) : path_(path) {}

    void section(const std::string& name, const toml::table& table) {
        for (auto&& [key, node] : table) {
            const std::string full =
                name.empty() ? std::string(key.str()) : fmt::format("{}.{}", name, key.str());
            if (const toml::table* deeper = node.as_table()) section(full, *deeper);
            else setting(full, node);
        }
    }
    ConfigFile file;

private:
    void setting(const std::string& key, const toml::node& node) {
        const auto problem = [&](const std::string& text) {
            file.problems.push_back(
                fmt::format("{}:{}: {}", path_.string(), node.source().begin.line, text));
        };
        const auto spec = find_setting(key);
        if (!spec) return problem(spec.error().text);
        auto items = items_of(**spec, node);
        if (!items) return problem(fmt::format("{}: wanted is {}", key, describe_type(**spec)));
        auto value = check_setting(**spec, std::move(*items));
        if (!value) return problem(value.error().text);
        file.settings.push_back({*spec, std::move(*value)});
    }
    const std::filesystem::path& path_;
};

}  // namespace

Result<ConfigFile> read_config_file(const std::filesystem::path& path) {
    const auto text = TRY(contents(path));
    if (!text) return ConfigFile{};
    const toml::table table = TRY(parse(*text, path.string()));
    Reader reader(path);
    reader.section("", table);
    return std::move(reader.file);
}

}  // namespace thinvol
