#include "commands/warnings.h"

#include "libvm/sizes.h"

namespace thinvol {
namespace {

void warn_of(Invocation& call, const std::string& what, std::uint64_t used, std::uint64_t size,
             const std::vector<unsigned>& levels) {
    if (size == 0 || levels.empty() || used * 100 < size * levels.front()) return;
    call.warn(fmt::format("Thin pool {} is now {}% full.", what, format_percent(used, size)));
}

}  // namespace

std::optional<Config> config_for_warnings(Invocation& call, Session& session, const PoolRow& pool) {
    auto config = Config::load(session, pool.lv.vg_id, pool.lv.id);
    if (config) return std::move(*config);
    call.warn(config.error().text);
    return std::nullopt;
}

void warn_of_overcommitment(Invocation& call, Session& session, const Config& config,
                            const GroupRow& group, const PoolRow& pool) {
    if (!config.flag("warnings.overprovisioning")) return;
    const auto warnings = overcommit_warnings(session, group, pool, config.autoextends_data());
    if (!warnings) return call.warn(warnings.error().text);
    for (const auto& warning : *warnings) call.warn(warning);
}

void warn_of_space(Invocation& call, const Config& config, const std::string& pool_name,
                   const PoolAnswer& use) {
    const auto levels = config.warning_levels();
    if (!config.autoextends_data())
        warn_of(call, pool_name + " data", use.data_used, use.data_blocks, levels);
    if (!config.autoextends_metadata())
        warn_of(call, pool_name + " metadata", use.metadata_used, use.metadata_blocks, levels);
}

}  // namespace thinvol
