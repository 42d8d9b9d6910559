#include "libvm/config_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "engine/base/unique_fd.h"

// A template library of some size: this is the one file that includes it.
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
    const toml::parse_result parsed = toml::parse(std::string_view(*text), path.string());
    if (!parsed) {
        return Error(Errc::invalid_argument,
                     fmt::format("{}:{}: {}", path.string(), parsed.error().source().begin.line,
                                 parsed.error().description()));
    }
    Reader reader(path);
    reader.section("", parsed.table());
    return std::move(reader.file);
}

}  // namespace thinvol
