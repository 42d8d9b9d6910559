#include "commands/lookup.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "libvm/tags.h"

namespace thinvol {
namespace {

Result<std::vector<FoundVolume>> all_of(Session& session, const GroupRow& group) {
    std::vector<FoundVolume> all;
    for (PoolRow& pool : TRY(session.catalog.pools(group.id)))
        all.push_back({group, std::move(pool.lv)});
    for (ThinRow& thin : TRY(session.catalog.thins(group.id)))
        all.push_back({group, std::move(thin.lv)});
    return all;
}

Result<std::vector<FoundVolume>> tagged(Session& session, std::string_view tag) {
    std::vector<FoundVolume> found;
    std::map<std::int64_t, std::vector<FoundVolume>> groups;
    for (const Taggable& object : TRY(find_tagged(session.catalog, tag))) {
        auto [group, is_new] = groups.try_emplace(object.vg_id);
        if (is_new) group->second = TRY(all_of(session, TRY(session.catalog.group(object.vg_id))));
        for (const FoundVolume& volume : group->second) {
            const bool whole_group = object.lv_id == 0 && object.pv_id == 0;
            if (whole_group || volume.lv.id == object.lv_id) found.push_back(volume);
        }
    }
    if (!found.empty()) return found;
    return Error(Errc::not_found, fmt::format("No volume carries the tag {}", tag));
}

}  // namespace

Result<std::vector<std::string>> groups_or_all(Session& session, std::vector<std::string> named) {
    if (!named.empty()) return named;
    for (const GroupRow& group : TRY(session.catalog.groups())) named.push_back(group.name);
    return named;
}

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

Result<std::vector<FoundVolume>> find_volumes(Session& session,
                                              const std::vector<std::string>& operands) {
    std::vector<FoundVolume> found;
    std::set<std::int64_t> there;
    for (const std::string& operand : operands) {
        std::vector<FoundVolume> meant;
        if (operand.starts_with('@')) {
            meant = TRY(tagged(session, operand));
        } else {
            const Reference reference = TRY(parse_reference(operand));
            if (reference.volume.empty())
                meant = TRY(all_of(session, TRY(session.catalog.find_group(reference.group))));
            else meant.push_back(TRY(find_volume(session, operand)));
        }
        for (FoundVolume& volume : meant) {
            if (there.insert(volume.lv.id).second) found.push_back(std::move(volume));
        }
    }
    return found;
}

Result<std::vector<FoundThin>> find_thins(Session& session,
                                          const std::vector<std::string>& operands) {
    for (const std::string& operand : operands) {
        if (operand.starts_with('@') || TRY(parse_reference(operand)).volume.empty()) continue;
        TRY(find_thin(session, operand));
    }
    std::vector<FoundThin> found;
    for (FoundVolume& volume : TRY(find_volumes(session, operands))) {
        if (volume.lv.kind != LvKind::thin) continue;
        ThinRow thin = TRY(session.catalog.thin(volume.lv.id));
        found.push_back({std::move(volume.group), std::move(thin)});
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
