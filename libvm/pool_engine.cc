#include "libvm/pool_engine.h"

#include <fmt/format.h>

#include "libvm/left_devices.h"
#include "libvm/pool_lending.h"
#include "libvm/pool_operations.h"
#include "libvm/pool_owner.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

// A short-lived command has nobody who would make room while it waits.
PoolOptions options_of(const PoolRow& pool, bool serves_clients) {
    PoolOptions options;
    options.features = features_of(pool);
    if (!serves_clients) options.features.error_if_no_space = true;
    return options;
}

// What lay on the extents before must not be taken for metadata, now or by a repair; and zeroes
// that are really written spare the first commits the file system's own bookkeeping.
Result<> clear_metadata(BlockQueue& metadata) {
    constexpr Sectors step{2048};
    for (Sectors done(0); done < metadata.size(); done += step) {
        TRY(zero_now(metadata, end_of(done), std::min(step, metadata.size() - done)));
    }
    return {};
}

}  // namespace

PoolFeatures features_of(const PoolRow& pool) {
    PoolFeatures features;
    features.zero_new_blocks = pool.zero;
    features.discards = pool.discards;
    features.error_if_no_space = pool.error_when_full;
    features.no_space_timeout = std::chrono::seconds(pool.no_space_timeout);
    return features;
}

Result<std::unique_ptr<LocalPool>> LocalPool::open(Session& session, const GroupRow& group,
                                                   const PoolRow& row, Ring* ring,
                                                   bool serves_clients) {
    auto lock = FileLock::try_exclusive(session.environment.lock_path(row.lv.uuid));
    if (!lock)
        return std::move(lock).error().prefixed(fmt::format("pool {}/{}", group.name, row.lv.name));
    if (!clear_left_overs(session.environment, row.lv.uuid))
        return Error(Errc::io_error,
                     fmt::format("pool {}/{}: its server was killed, and block devices of its "
                                 "volumes wait for another: tvs starts one",
                                 group.name, row.lv.name));
    return open_locked(session, group, row, ring, serves_clients, std::move(*lock));
}

Result<std::unique_ptr<LocalPool>> LocalPool::serve(Session& session, const GroupRow& group,
                                                    const PoolRow& row, Ring* ring) {
    auto lock = TRY(FileLock::try_exclusive(session.environment.lock_path(row.lv.uuid)));
    return open_locked(session, group, row, ring, true, std::move(lock));
}

Result<std::unique_ptr<LocalPool>> LocalPool::take_over(Session& session, const GroupRow& group,
                                                        const PoolRow& pool, Ring* ring,
                                                        FileLock lock) {
    return open_locked(session, group, pool, ring, true, std::move(lock));
}

Result<std::unique_ptr<LocalPool>> LocalPool::open_locked(Session& session, const GroupRow& group,
                                                          const PoolRow& row, Ring* ring,
                                                          bool serves_clients, FileLock lock) {
    std::unique_ptr<LocalPool> local(new LocalPool(std::move(lock)));
    const PoolRow pool =
        TRY(session.catalog.pool(row.lv.id));  // as it is now that nobody else changes it
    TRY(check_not_lent(group, pool));
    TRY(check_group_sound(session, group));
    const auto pending = TRY(session.catalog.pending(pool.lv.id));
    // Whoever held the pool before may have been killed: a recovered operation, or a client that
    // comes back to a new server and flushes, must find all of it durable.
    const bool unflushed = pending.has_value() || serves_clients;
    local->devices_ =
        TRY(PoolDevices::open(session, group, pool, pending.has_value(), ring, unflushed));
    const bool being_made =
        pending && std::holds_alternative<MakePool>(TRY(operation_from_json(pending->operation)));
    const std::string context = fmt::format("pool {}/{}", group.name, pool.lv.name);
    if (being_made) {
        TRY(within(context, local->devices_->allocate_metadata(session, group, pool)));
        TRY(within(context, clear_metadata(local->devices_->metadata())));
        local->pool_ =
            TRY(within(context, Pool::create(local->devices_->metadata(), local->devices_->data(),
                                             pool.chunk_size, options_of(pool, serves_clients))));
    } else {
        local->pool_ =
            TRY(within(context, Pool::open(local->devices_->metadata(), local->devices_->data(),
                                           options_of(pool, serves_clients))));
    }
    TRY(within(context, PoolOwner(session, *local, pool, nullptr).recover()));
    return local;
}

LocalPool::~LocalPool() {
    if (pool_)
        ignore(pool_->settle(), "what was promised is durable; the rest is a discard or two");
}

}  // namespace thinvol
