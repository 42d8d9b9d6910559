#include "commands/lookup.h"

#include <fmt/format.h>

namespace thinvol {

Result<FoundVolume> find_volume(Session& session, std::string_view text) {
    const Reference reference = TRY(parse_volume_reference(text));
    FoundVolume found;
    found.group = TRY(session.catalog.find_group(reference.group));
    found.lv = TRY(session.catalog.find_lv(found.group, reference.volume));
    if (found.lv.kind == LvKind::spare)
        return Error(Errc::invalid_argument,
                     fmt::format("Operation not permitted on hidden LV {}.", text));
    return found;
}

Result<FoundPool> find_pool(Session& session, std::string_view text) {
    FoundVolume found = TRY(find_volume(session, text));
    if (found.lv.kind != LvKind::pool) {
        return Error(
            Errc::invalid_argument,
            fmt::format(
                "Command not permitted on LV {}: it is a thin volume, a thin pool is wanted.",
                found.full_name()));
    }
    PoolRow pool = TRY(session.catalog.pool(found.lv.id));
    return FoundPool{std::move(found.group), std::move(pool)};
}

Result<FoundThin> find_thin(Session& session, std::string_view text) {
    FoundVolume found = TRY(find_volume(session, text));
    if (found.lv.kind != LvKind::thin) {
        return Error(
            Errc::invalid_argument,
            fmt::format(
                "Command not permitted on LV {}: it is a thin pool, a thin volume is wanted.",
                found.full_name()));
    }
    ThinRow thin = TRY(session.catalog.thin(found.lv.id));
    return FoundThin{std::move(found.group), std::move(thin)};
}

Result<std::vector<FoundThin>> find_thins(Session& session,
                                          const std::vector<std::string>& operands) {
    std::vector<FoundThin> found;
    for (const std::string& operand : operands) {
        const Reference reference = TRY(parse_reference(operand));
        if (!reference.volume.empty()) {
            found.push_back(TRY(find_thin(session, operand)));
            continue;
        }
        const GroupRow group = TRY(session.catalog.find_group(reference.group));
        for (ThinRow& thin : TRY(session.catalog.thins(group.id)))
            found.push_back({group, std::move(thin)});
    }
    return found;
}

Result<std::vector<std::int64_t>> find_pvs(Session& session, const GroupRow& group,
                                           std::span<const std::string> paths) {
    std::vector<std::int64_t> ids;
    for (const std::string& path : paths) ids.push_back(TRY(find_pv(session, group, path)).id);
    return ids;
}

}  // namespace thinvol
