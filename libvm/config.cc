#include "libvm/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/config_file.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr const char* of_object = " WHERE vg_id = ? AND ifnull(lv_id, 0) = ?";

std::size_t index_of(std::string_view key) {
    const auto settings = all_settings();
    const auto it = std::find_if(settings.begin(), settings.end(),
                                 [&](const SettingSpec& s) { return s.key == key; });
    ASSERT(it != settings.end());
    return static_cast<std::size_t>(it - settings.begin());
}

}  // namespace

std::string_view name_of(SettingSource source) {
    switch (source) {
        case SettingSource::fallback: return "default";
        case SettingSource::file: return "file";
        case SettingSource::group: return "group";
        case SettingSource::pool: return "pool";
        case SettingSource::volume: return "volume";
        case SettingSource::command: return "command";
    }
    return "";
}

std::filesystem::path config_path(const Environment& environment) {
    return environment.config_dir / "thinvol.toml";
}

Config::Config() {
    for (const SettingSpec& spec : all_settings())
        values_.push_back({default_of(spec), SettingSource::fallback});
}

Result<Config> Config::load(const Environment& environment) {
    Config config;
    TRY(config.add_file(environment));
    TRY(config.add_options(environment));
    return config;
}

Result<Config> Config::load(Session& session, std::int64_t vg_id, std::int64_t pool_id,
                            std::int64_t thin_lv_id) {
    Config config;
    TRY(config.add_file(session.environment));
    const auto add_stored = [&](std::int64_t lv_id, SettingSource source) -> Result<> {
        for (const Assignment& a : TRY(stored_settings(session.catalog, vg_id, lv_id)))
            config.set(a, source);
        return {};
    };
    TRY(add_stored(0, SettingSource::group));
    if (pool_id != 0) TRY(add_stored(pool_id, SettingSource::pool));
    if (thin_lv_id != 0) TRY(add_stored(thin_lv_id, SettingSource::volume));
    TRY(config.add_options(session.environment));
    return config;
}

Result<> Config::add_file(const Environment& environment) {
    const ConfigFile file = TRY(read_config_file(config_path(environment)));
    if (!file.problems.empty()) return Error(Errc::invalid_argument, file.problems.front());
    for (const Assignment& a : file.settings) set(a, SettingSource::file);
    return {};
}

Result<> Config::add_options(const Environment& environment) {
    for (const std::string& text : environment.config_options)
        set(TRY(within("--config", parse_assignment(text))), SettingSource::command);
    return {};
}

void Config::set(const Assignment& assignment, SettingSource source) {
    values_[index_of(assignment.spec->key)] = {assignment.value, source};
}

const SettingValue& Config::value(std::string_view key) const {
    return values_[index_of(key)].value;
}
SettingSource Config::source(std::string_view key) const { return values_[index_of(key)].source; }

std::int64_t Config::number(std::string_view key) const {
    return static_cast<std::int64_t>(*parse_number(value(key).front()));
}
Bytes Config::size(std::string_view key) const { return parse_size(value(key).front(), 'm')->size; }

std::vector<unsigned> Config::warning_levels() const {
    std::vector<unsigned> levels;
    for (const std::string& item : value("warnings.levels"))
        levels.push_back(static_cast<unsigned>(*parse_number(item)));
    std::sort(levels.begin(), levels.end());
    return levels;
}

// A key that this program does not know was a newer one's, and is left to it.
Result<std::unordered_map<std::int64_t, std::vector<Assignment>>> stored_settings(
    Catalog& catalog, std::int64_t vg_id) {
    Statement statement = TRY(catalog.database().prepare(
        "SELECT key, value, ifnull(lv_id, 0) FROM setting WHERE vg_id = ?"));
    statement.bind(vg_id);
    std::unordered_map<std::int64_t, std::vector<Assignment>> stored;
    while (TRY(statement.step())) {
        const auto spec = find_setting(statement.text(0));
        if (!spec) continue;
        auto value = TRY(within("catalog", parse_setting(**spec, statement.text(1))));
        stored[statement.integer(2)].push_back({*spec, std::move(value)});
    }
    return stored;
}

Result<std::vector<Assignment>> stored_settings(Catalog& catalog, std::int64_t vg_id,
                                                std::int64_t lv_id) {
    Statement statement = TRY(catalog.database().prepare(
        fmt::format("SELECT key, value FROM setting{} ORDER BY key", of_object)));
    statement.bind(vg_id).bind(lv_id);
    std::vector<Assignment> stored;
    while (TRY(statement.step())) {
        const auto spec = find_setting(statement.text(0));
        if (!spec) continue;
        auto value = TRY(within("catalog", parse_setting(**spec, statement.text(1))));
        stored.push_back({*spec, std::move(value)});
    }
    return stored;
}

Result<> store_setting(Catalog& catalog, std::int64_t vg_id, std::int64_t lv_id, SettingScope what,
                       const Assignment& assignment) {
    const SettingSpec& spec = *assignment.spec;
    if (spec.scope < what)
        return Error(Errc::invalid_argument,
                     fmt::format("{} can only be set in: {}", spec.key, name_of(spec.scope)));
    TRY(forget_setting(catalog, vg_id, lv_id, spec));
    return catalog.database().run(
        "INSERT INTO setting(vg_id, lv_id, key, value) VALUES(?, ?, ?, ?)", vg_id,
        lv_id == 0 ? std::optional<std::int64_t>() : std::optional(lv_id), spec.key,
        std::string_view(to_toml(spec, assignment.value)));
}

Result<> forget_setting(Catalog& catalog, std::int64_t vg_id, std::int64_t lv_id,
                        const SettingSpec& spec) {
    return catalog.database().run(fmt::format("DELETE FROM setting{} AND key = ?", of_object),
                                  vg_id, lv_id, spec.key);
}

Result<> copy_setting(Catalog& catalog, std::int64_t from_lv_id, std::int64_t to_lv_id,
                      std::string_view key) {
    return catalog.database().run(
        "INSERT INTO setting(vg_id, lv_id, key, value) "
        "SELECT vg_id, ?, key, value FROM setting WHERE lv_id = ? AND key = ?",
        to_lv_id, from_lv_id, key);
}

}  // namespace thinvol
