#include "libvm/pool_lending.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "libvm/group_log.h"
#include "libvm/names.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

// busy while device-mapper on this machine has the pool.
Result<> check_not_in_kernel(const GroupRow& group, const PoolRow& pool) {
    std::error_code error;
    for (const auto& disk : std::filesystem::directory_iterator("/sys/block", error)) {
        std::ifstream file(disk.path() / "dm" / "name");
        std::string name;
        if (!std::getline(file, name)) continue;
        for (const std::string_view part : {"-tpool", "_tdata", "_tmeta"}) {
            if (name == mapper_name(group.name, pool.lv.name).append(part))
                return Error(Errc::busy, fmt::format("pool {}/{} is in use by the kernel: dmsetup "
                                                     "remove its volumes and {} first",
                                                     group.name, pool.lv.name, name));
        }
    }
    return {};
}

}  // namespace

Result<> check_not_lent(const GroupRow& group, const PoolRow& pool) {
    if (pool.lent_to == LentTo::nobody) return {};
    return Error(Errc::read_only,
                 fmt::format("pool {}/{} is lent to the kernel: tvchange --return {}/{} takes it "
                             "back",
                             group.name, pool.lv.name, group.name, pool.lv.name));
}

Result<> lend_pool(Session& session, const GroupRow& group, const PoolRow& pool, LentTo to) {
    if (TRY(pool_status(session.environment, pool)))
        return Error(Errc::busy, fmt::format("pool {}/{} is active: tvchange -an its volumes first",
                                             group.name, pool.lv.name));
    for (const ThinRow& v : TRY(session.catalog.thins_of_pool(pool.lv.id))) {
        if (!v.external_origin.empty())
            return Error(Errc::unsupported,
                         fmt::format("{}/{} has an external origin, which the kernel would not "
                                     "know of",
                                     group.name, v.lv.name));
        if (v.merging != Merging::no)
            return Error(Errc::busy, fmt::format("{}/{} waits to replace its origin: activate "
                                                 "that once, or tvconvert --cancelmerge",
                                                 group.name, v.lv.name));
    }
    {
        // As for a server: what a killed one left unflushed is flushed with the rest.
        const auto local = TRY(LocalPool::open(session, group, pool, nullptr, true));
        TRY(local->pool().settle());
        TRY(flush_now(local->devices().data()));
        TRY(flush_now(local->devices().metadata()));
        auto transaction = TRY(session.catalog.begin());
        TRY(session.catalog.set_lent_to(pool.lv.id, to));
        TRY(session.catalog.prune_log(group.id));
        TRY(std::move(transaction).commit());
    }
    return sync_group_log(session, group);
}

Result<ReturnedPool> return_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                                 const PoolDecisions& decisions) {
    ReturnedPool returned;
    {
        const auto lock = TRY(FileLock::try_exclusive(session.environment.lock_path(pool.lv.uuid)));
        const PoolRow fresh = TRY(session.catalog.pool(pool.lv.id));
        if (fresh.lent_to == LentTo::nobody)
            return Error(Errc::invalid_argument,
                         fmt::format("pool {}/{} is not lent", group.name, pool.lv.name));
        TRY(check_not_in_kernel(group, fresh));
        const auto devices = TRY(PoolDevices::open(session, group, fresh, false, nullptr, true));
        PoolContents found = TRY(within(fmt::format("pool {}/{}", group.name, pool.lv.name),
                                        contents_of(devices->metadata())));
        if (found.needs_check)
            returned.warnings.push_back(
                fmt::format("the kernel has set needs_check on pool {}/{}: it takes no changes "
                            "until its metadata are checked or repaired",
                            group.name, pool.lv.name));
        PoolDifferences differences(session, group, fresh, std::move(found));
        returned.undecided = TRY(differences.undecided(decisions));
        if (!returned.undecided.empty()) return returned;
        TRY(differences.settle(decisions));
    }
    // Opening carries out what is pending.
    if (TRY(session.catalog.pending(pool.lv.id))) {
        auto opened = LocalPool::open(session, group, pool);
        if (!opened) returned.warnings.push_back(opened.error().text);
    }
    if (auto synced = sync_group_log(session, group); !synced)
        returned.warnings.push_back(synced.error().text);
    return returned;
}

}  // namespace thinvol
