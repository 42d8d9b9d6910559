#include "commands/setting_change.h"

#include "commands/lookup.h"
#include "libvm/config.h"

namespace thinvol {
namespace {

Result<> change(Invocation& call, Session& session, const std::string& operand) {
    const bool whole_group = operand.find('/') == std::string::npos;
    FoundVolume found;
    if (whole_group) found.group = TRY(session.catalog.find_group(operand));
    else found = TRY(find_volume(session, operand));
    const std::int64_t vg_id = found.group.id;
    const std::int64_t lv_id = found.lv.id;
    const bool thin = !whole_group && found.lv.kind == LvKind::thin;
    const std::int64_t pool_id = thin ? TRY(session.catalog.thin(lv_id)).pool_id : lv_id;
    const SettingScope what = whole_group ? SettingScope::group
                              : thin      ? SettingScope::volume
                                          : SettingScope::pool;
    auto transaction = TRY(session.catalog.begin());
    for (const std::string& key : call.values("unset"))
        TRY(forget_setting(session.catalog, vg_id, lv_id, *TRY(find_setting(key))));
    for (const std::string& text : call.values("setting"))
        TRY(store_setting(session.catalog, vg_id, lv_id, what, TRY(parse_assignment(text))));
    TRY(session.catalog.prune_log(vg_id));
    TRY(std::move(transaction).commit());
    for (const auto& warning : TRY(announce_change(session, found.group)).warnings)
        call.warn(warning);
    for (const PoolRow& pool : TRY(session.catalog.pools(vg_id))) {
        if (whole_group || pool.lv.id == pool_id)
            TRY(ask_if_served(session.environment, pool, new_request(RefreshRequest{})));
    }
    if (whole_group) call.say("Volume group \"{}\" successfully changed", found.group.name);
    else call.say("Logical volume {} changed.", found.full_name());
    return {};
}

}  // namespace

int change_settings(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    for (const std::string& operand : call.operands())
        TRY_OR_FAIL(call, change(call, session, operand));
    return exit_ok;
}

}  // namespace thinvol
