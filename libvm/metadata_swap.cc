#include "libvm/metadata_swap.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/metadata_walk.h"
#include "libvm/group_log.h"
#include "libvm/kept_metadata.h"
#include "libvm/reconcile.h"
#include "libvm/spare.h"

namespace thinvol {
namespace {

Result<LvRow> spare_of(Session& session, const GroupRow& group, const PoolRow& pool) {
    Extents wanted(0);
    for (const SegmentRow& s :
         TRY(session.catalog.segments_of(pool.lv.id, SegmentRole::metadata, false)))
        wanted += s.length;
    auto transaction = TRY(session.catalog.begin());
    if (!TRY(grow_spare(session.catalog, group, wanted, session.now())))
        return Error(Errc::out_of_space,
                     fmt::format("group {} has no room for new metadata of {} extents beside the "
                                 "old; add some: tvgextend {} DEVICE",
                                 group.name, wanted, group.name));
    auto spare = TRY(session.catalog.spare(group.id));
    ASSERT(spare.has_value());
    TRY(std::move(transaction).commit());
    return std::move(*spare);
}

// What lay there before must not be taken for metadata by a later repair.
Result<> clear(BlockQueue& device) {
    constexpr Sectors step{2048};
    for (Sectors done(0); done < device.size(); done += step)
        TRY(zero_now(device, end_of(done), std::min(step, device.size() - done)));
    return {};
}

}  // namespace

Result<std::unique_ptr<MetadataSwap>> MetadataSwap::begin(Session& session, const GroupRow& group,
                                                          const PoolRow& pool, Spare contents,
                                                          Old keep) {
    TRY(check_group_usable(session, group));
    const std::string name = fmt::format("{}/{}", group.name, pool.lv.name);
    auto lock = FileLock::try_exclusive(session.environment.lock_path(pool.lv.uuid));
    if (!lock && lock.error().code == Errc::busy)
        return Error(Errc::busy,
                     fmt::format("{} is in use; deactivate it: tvchange -an {}", name, name));
    if (!lock) return std::move(lock).error();
    if (TRY(session.catalog.pending(pool.lv.id)))
        return Error(Errc::busy,
                     fmt::format("{} has an operation half done; activate it once, which ends it, "
                                 "or save its metadata with tvdump --format raw",
                                 name));
    std::optional<LvRow> kept;
    if (contents == Spare::as_it_is) kept = TRY(newest_kept_metadata(session.catalog, pool.lv));
    const LvRow spare = kept ? *kept : TRY(spare_of(session, group, pool));
    auto spare_lock =
        TRY(within(spare.name, FileLock::try_exclusive(session.environment.lock_path(spare.uuid))));
    std::unique_ptr<MetadataSwap> swap(
        new MetadataSwap(session, group, TRY(session.catalog.pool(pool.lv.id)), std::move(*lock),
                         std::move(spare_lock), spare.id));
    swap->keep_ = keep;
    swap->old_name_ = spare.name;
    swap->devices_ = TRY(PoolDevices::open(session, group, pool, false, nullptr, true));
    swap->fresh_ = TRY(swap->devices_->beside(session, group, spare.id, SegmentRole::spare));
    if (contents == Spare::cleared) TRY(within(spare.name, clear(*swap->fresh_)));
    return swap;
}

PoolOverrides MetadataSwap::known() const {
    return {.transaction_id = pool_.transaction_id,
            .data_block_size = pool_.chunk_size,
            .data_blocks = DataBlocks(devices_->data().size().n / pool_.chunk_size.n)};
}

Result<> MetadataSwap::check_agreement() {
    const auto bad = [&](std::string text) {
        return Error(Errc::corrupt, fmt::format("{}/{}: {}; the pool is left as it was",
                                                group_.name, pool_.lv.name, text));
    };
    const MetadataContents contents = TRY(read_contents(*fresh_));
    const PoolOverrides expected = known();
    if (contents.pool.transaction_id != pool_.transaction_id)
        return bad(
            fmt::format("the new metadata have transaction id {}, the catalog has {}: give "
                        "--transaction-id if they are the right ones",
                        contents.pool.transaction_id.n, pool_.transaction_id.n));
    if (contents.pool.data_block_size != pool_.chunk_size)
        return bad(fmt::format("the new metadata have data blocks of {} sectors, the pool {}",
                               contents.pool.data_block_size, pool_.chunk_size));
    if (contents.pool.data_blocks > *expected.data_blocks)
        return bad(fmt::format("the new metadata have {} data blocks, the pool {}",
                               contents.pool.data_blocks, *expected.data_blocks));
    std::map<std::uint64_t, std::string> names;
    for (const ThinRow& thin : TRY(session_.catalog.thins_of_pool(pool_.lv.id)))
        names[thin.thin_id.n()] = thin.lv.name;
    for (const WalkedVolume& volume : contents.volumes) {
        if (names.erase(volume.facts.id) == 0)
            return bad(
                fmt::format("the new metadata have thin id {}, which is no volume of the "
                            "catalog",
                            volume.facts.id));
    }
    if (names.empty()) return {};
    return bad(fmt::format("the new metadata lack thin id {}, volume {}", names.begin()->first,
                           names.begin()->second));
}

Result<> MetadataSwap::exchange() {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    Extents wanted(0);
    auto old = TRY(catalog.segments_of(pool_.lv.id, SegmentRole::metadata, false));
    auto fresh = TRY(catalog.segments_of(spare_, SegmentRole::spare, false));
    for (const auto* segments : {&old, &fresh})
        for (const SegmentRow& s : *segments) TRY(catalog.remove_segment(s.id));
    std::int64_t to = spare_;
    if (keep_ == Old::kept) {
        const LvRow kept = TRY(add_kept_metadata(catalog, pool_.lv, session_.now()));
        to = kept.id;
        old_name_ = kept.name;
    }
    for (SegmentRow& s : old) {
        s.lv_id = to;
        s.role = SegmentRole::spare;
        TRY(catalog.add_segment(s));
    }
    for (SegmentRow& s : fresh) {
        s.lv_id = pool_.lv.id;
        s.role = SegmentRole::metadata;
        TRY(catalog.add_segment(s));
        wanted += s.length;
    }
    if (keep_ == Old::kept) {
        TRY(catalog.remove_lv(spare_));
        has_spare_ = TRY(grow_spare(catalog, group_, wanted, session_.now()));
    }
    return std::move(transaction).commit();
}

Result<std::vector<std::string>> MetadataSwap::commit() {
    TRY(check_agreement());
    TRY(exchange());
    std::vector<std::string> warnings;
    if (!has_spare_)
        warnings.push_back(
            fmt::format("group {} has no room for a new metadata spare; the next "
                        "repair needs one: tvremove {}/{}, or tvgextend",
                        group_.name, group_.name, old_name_));
    if (auto synced = sync_group_log(session_, group_); !synced)
        warnings.push_back(synced.error().text);
    return warnings;
}

}  // namespace thinvol
