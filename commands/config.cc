// `thinvol config`: the settings that hold, for the environment, a group, a pool or a volume, and
// where each comes from; what one means; whether a file is right; a file to begin with.
#include <nlohmann/json.hpp>

#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/table.h"
#include "libvm/config.h"
#include "libvm/config_file.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"json", 0, Value::none, "As one JSON object."},
    {"explain", 0, Value::setting_key, "What the setting means, takes and is."},
    {"validate", 0, Value::none, "Whether the file, thinvol.toml unless given, is right."},
    {"template", 0, Value::none, "A whole file with each setting explained and commented out."},
};
constexpr OperandSpec operands[] = {
    {"VG|VG/LV|FILE", Value::group_or_volume,
     "For which group, pool or volume; with --validate, a file.", false},
};
constexpr Conflict conflicts[] = {{"json", "template"},    {"json", "validate"},
                                  {"json", "explain"},     {"explain", "validate"},
                                  {"explain", "template"}, {"validate", "template"}};
constexpr std::string_view examples[] = {
    "thinvol config --explain autoextend.data_threshold", "thinvol config vg0/pool0",
    "thinvol config --template > /etc/thinvol/thinvol.toml", "thinvol config --validate new.toml"};

int validate(Invocation& call) {
    const std::filesystem::path path = call.operands().empty()
                                           ? config_path(call.environment())
                                           : std::filesystem::path(call.operands().front());
    if (!std::filesystem::exists(path)) {
        if (call.operands().empty()) {
            call.say("{} is not there: the defaults hold.", path.string());
            return exit_ok;
        }
        return call.fail(Error(Errc::not_found, fmt::format("{} is not there", path.string())));
    }
    const ConfigFile file = TRY_OR_FAIL(call, read_config_file(path));
    int status = exit_ok;
    for (const std::string& problem : file.problems)
        status = call.fail(Error(Errc::invalid_argument, problem));
    if (status == exit_ok)
        call.say("{} is right: {} settings.", path.string(), file.settings.size());
    return status;
}

Result<Config> config_wanted(const Invocation& call) {
    if (call.operands().empty()) return Config::load(call.environment());
    Session session = TRY(call.session());
    const std::string& operand = call.operands().front();
    if (operand.find('/') == std::string::npos)
        return Config::load(session, TRY(session.catalog.find_group(operand)).id);
    const FoundVolume found = TRY(find_volume(session, operand));
    if (found.lv.kind == LvKind::pool) return Config::load(session, found.group.id, found.lv.id);
    const ThinRow thin = TRY(session.catalog.thin(found.lv.id));
    return Config::load(session, found.group.id, thin.pool_id, thin.lv.id);
}

void explain(Invocation& call, const SettingSpec& spec, const Config& config) {
    call.write(
        fmt::format("  {}: {}\n    takes    {}\n    default  {}\n    now      {} ({})\n"
                    "    set in   {}\n",
                    spec.key, spec.help, describe_type(spec), spec.fallback,
                    to_toml(spec, config.value(spec.key)), name_of(config.source(spec.key)),
                    name_of(spec.scope)));
}

nlohmann::json json_of(const SettingSpec& spec, const SettingValue& value) {
    const bool plain = spec.type == SettingType::size || spec.type == SettingType::word ||
                       spec.type == SettingType::text;
    if (plain) return value.front();
    return nlohmann::json::parse(to_toml(spec, value));
}

void show(Invocation& call, const Config& config) {
    if (call.has("json")) {
        nlohmann::json settings = nlohmann::json::array();
        for (const SettingSpec& spec : all_settings()) {
            settings.push_back({{"key", spec.key},
                                {"value", json_of(spec, config.value(spec.key))},
                                {"default", json_of(spec, default_of(spec))},
                                {"source", name_of(config.source(spec.key))}});
        }
        return call.write(nlohmann::json{{"settings", settings}}.dump(2) + "\n");
    }
    for (const SettingSpec& spec : all_settings()) {
        const std::string text =
            fmt::format("{} = {}", spec.key, to_toml(spec, config.value(spec.key)));
        call.write(fmt::format("  {:<48} # {}\n", text, name_of(config.source(spec.key))));
    }
}

int run(Invocation& call) {
    if (call.has("template")) {
        call.write(settings_template());
        return exit_ok;
    }
    if (call.has("validate")) return validate(call);
    const Config config = TRY_OR_FAIL(call, config_wanted(call));
    if (call.has("explain"))
        explain(call, *TRY_OR_FAIL(call, find_setting(call.value("explain"))), config);
    else show(call, config);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec config_command{.name = "config",
                                     .summary = "Show, explain and check settings.",
                                     .options = options,
                                     .operands = operands,
                                     .conflicts = conflicts,
                                     .examples = examples,
                                     .run = run,
                                     .test_mode = TestMode::harmless};
static_assert(well_formed(config_command));

}  // namespace thinvol
