#include "commands/warnings.h"

#include "libvm/config.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

void warn_of(Invocation& call, const std::string& what, std::uint64_t used, std::uint64_t size,
             const std::vector<unsigned>& levels) {
    if (size == 0 || levels.empty() || used * 100 < size * levels.front()) return;
    call.warn(fmt::format("Thin pool {} is now {}% full.", what, format_percent(used, size)));
}

}  // namespace

void warn_of_overcommitment(Invocation& call, Session& session, const GroupRow& group,
                            const PoolRow& pool) {
    const auto config = Config::load(session, group.id, pool.lv.id);
    if (!config) return call.warn(config.error().text);
    if (!config->flag("warnings.overprovisioning")) return;
    const auto warnings = overcommit_warnings(session, group, pool, config->autoextends_data());
    if (!warnings) return call.warn(warnings.error().text);
    for (const auto& warning : *warnings) call.warn(warning);
}

void warn_of_space(Invocation& call, Session& session, const GroupRow& group, const PoolRow& pool,
                   const PoolAnswer& use) {
    const auto config = Config::load(session, group.id, pool.lv.id);
    if (!config) return call.warn(config.error().text);
    const std::string name = group.name + "/" + pool.lv.name;
    const auto levels = config->warning_levels();
    if (!config->autoextends_data())
        warn_of(call, name + " data", use.data_used, use.data_blocks, levels);
    if (!config->autoextends_metadata())
        warn_of(call, name + " metadata", use.metadata_used, use.metadata_blocks, levels);
}

}  // namespace thinvol
