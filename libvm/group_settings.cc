#include "libvm/group_settings.h"

#include <fmt/format.h>

#include <array>

#include "libvm/group_log.h"
#include "libvm/pool_lending.h"
#include "libvm/reconcile.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

constexpr std::array<std::string_view, 3> allocations{"contiguous", "cling", "normal"};

Result<GroupResult> set_exported(Session& session, const GroupRow& group, bool exported) {
    GroupResult result;
    {
        auto transaction = TRY(session.catalog.begin());
        GroupSettings settings = TRY(group_settings(session.catalog, group.id));
        settings.exported = exported;
        TRY(set_group_settings(session.catalog, group.id, settings));
        TRY(std::move(transaction).commit());
    }
    if (auto synced = sync_group_log(session, group); !synced)
        result.warnings.push_back(synced.error().text);
    return result;
}

}  // namespace

std::string_view name_of(Allocation allocation) {
    return allocations[static_cast<std::size_t>(allocation)];
}

Result<GroupSettings> group_settings(Catalog& catalog, std::int64_t vg_id) {
    Statement query = TRY(catalog.database().prepare(
        "SELECT autoactivation, exported, allocation FROM vg WHERE id = ?"));
    if (!TRY(query.bind(vg_id).step())) return Error(Errc::not_found, "the volume group is gone");
    GroupSettings settings{query.integer(0) != 0, query.integer(1) != 0};
    for (std::size_t i = 0; i < allocations.size(); ++i) {
        if (query.view(2) == allocations[i]) settings.allocation = static_cast<Allocation>(i);
    }
    return settings;
}

Result<> set_group_settings(Catalog& catalog, std::int64_t vg_id, const GroupSettings& settings) {
    return catalog.database().run(
        "UPDATE vg SET autoactivation = ?, exported = ?, allocation = ? WHERE id = ?",
        std::int64_t{settings.autoactivation}, std::int64_t{settings.exported},
        name_of(settings.allocation), vg_id);
}

Result<> check_not_exported(Catalog& catalog, const GroupRow& group) {
    if (!TRY(group_settings(catalog, group.id)).exported) return {};
    return Error(Errc::read_only, fmt::format("Volume group {} is exported: tvgimport {} takes it "
                                              "back",
                                              group.name, group.name));
}

Result<GroupResult> export_group(Session& session, const GroupRow& group) {
    TRY(check_group_usable(session, group));
    for (const PoolRow& pool : TRY(session.catalog.pools(group.id))) {
        TRY(check_not_lent(group, pool));
        if (TRY(pool_status(session.environment, pool)))
            return Error(Errc::busy, fmt::format("Volume group \"{}\" has active logical volumes: "
                                                 "tvgchange -an {}",
                                                 group.name, group.name));
        // What a killed server left unflushed is flushed, what is half done is ended.
        const auto local = TRY(LocalPool::open(session, group, pool, nullptr, true));
        TRY(local->pool().settle());
        TRY(flush_now(local->devices().data()));
        TRY(flush_now(local->devices().metadata()));
    }
    return set_exported(session, group, true);
}

Result<GroupResult> import_group(Session& session, const GroupRow& group) {
    if (!TRY(group_settings(session.catalog, group.id)).exported)
        return Error(Errc::invalid_argument,
                     fmt::format("Volume group \"{}\" is not exported", group.name));
    TRY(check_group_current(session, group));
    return set_exported(session, group, false);
}

}  // namespace thinvol
