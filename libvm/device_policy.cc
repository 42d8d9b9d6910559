#include "libvm/device_policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/config.h"

namespace thinvol {

std::string_view name_of(DeviceKind kind) {
    switch (kind) {
        case DeviceKind::none: break;
        case DeviceKind::ublk: return "ublk";
        case DeviceKind::nbd: return "nbd-kernel";
    }
    return "nbd";
}

Result<ExportKinds> ExportKinds::parse(std::string_view text) {
    const Error wrong(
        Errc::invalid_argument,
        fmt::format("\"{}\" is not nbd, ublk, nbd-kernel, nbd,ublk, nbd,nbd-kernel or auto", text));
    ExportKinds kinds;
    if (text == "auto") {
        kinds.automatic = true;
        return kinds;
    }
    kinds.nbd = false;
    for (std::string_view rest = text;;) {
        const std::size_t comma = rest.find(',');
        const std::string_view word = rest.substr(0, comma);
        const bool device = word == "ublk" || word == "nbd-kernel";
        if ((!device && word != "nbd") || (word == "nbd" && kinds.nbd) ||
            (device && kinds.device != DeviceKind::none))
            return wrong;
        if (!device) kinds.nbd = true;
        else kinds.device = word == "ublk" ? DeviceKind::ublk : DeviceKind::nbd;
        if (comma == std::string_view::npos) return kinds;
        rest.remove_prefix(comma + 1);
    }
}

ExportKinds ExportKinds::settled(bool ublk_works) const {
    if (!automatic) return *this;
    ExportKinds kinds;
    kinds.nbd = !ublk_works;
    kinds.device = ublk_works ? DeviceKind::ublk : DeviceKind::none;
    return kinds;
}

// How long the kernel's NBD client waits for an answer before it gives up the connection and sends
// all that was under way on it again. What waits for room in a full pool must have ended by then:
// carried out twice, it could undo what was written in between. What a killed server had not
// answered is sent to the next one after that time, so it is no longer than need be. The longest is
// what the driver can count, in 32 bits of jiffies.
std::chrono::seconds longest_answer(const PoolRow& pool) {
    constexpr std::chrono::seconds usual(30);
    if (pool.error_when_full) return usual;
    if (pool.no_space_timeout == 0) return std::chrono::days(30);
    return std::chrono::seconds(pool.no_space_timeout) + usual;
}

Result<DevicePolicy> DevicePolicy::load(Session& session, const ThinRow& volume) {
    const Config config = TRY(Config::load(session, volume.lv.vg_id, volume.pool_id, volume.lv.id));
    DevicePolicy policy;
    policy.kinds = TRY(ExportKinds::parse(config.word(export_setting)));
    policy.user_copy = config.flag("devices.user_copy");
    policy.connections = static_cast<unsigned>(config.number("devices.connections"));
    policy.dead_timeout = std::chrono::seconds(config.number("devices.dead_timeout"));
    policy.answer_timeout = longest_answer(TRY(session.catalog.pool(volume.pool_id)));
    return policy;
}

Result<std::string> remembered_export(Catalog& catalog, const ThinRow& volume) {
    for (const Assignment& a : TRY(stored_settings(catalog, volume.lv.vg_id, volume.lv.id))) {
        if (a.spec->key == export_setting) return a.value.front();
    }
    return std::string();
}

Result<> remember_export(Catalog& catalog, const ThinRow& volume, std::string_view how) {
    const SettingSpec* spec = TRY(find_setting(export_setting));
    if (how.empty()) return forget_setting(catalog, volume.lv.vg_id, volume.lv.id, *spec);
    auto value = TRY(parse_setting(*spec, how));
    const Assignment assignment{spec, std::move(value)};
    return store_setting(catalog, volume.lv.vg_id, volume.lv.id, SettingScope::volume, assignment);
}

}  // namespace thinvol
