#include "libvm/volumes.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "libvm/extents.h"
#include "libvm/group_log.h"
#include "libvm/merges.h"
#include "libvm/names.h"
#include "libvm/placement.h"
#include "libvm/pool_lending.h"
#include "libvm/reconcile.h"
#include "libvm/sizes.h"
#include "libvm/spare.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

constexpr Bytes metadata_least{2 << 20};
constexpr std::uint64_t lvm_bytes_per_chunk = 64;
constexpr Bytes chunk_doubles_above{128 << 20};

Bytes extents_to_bytes(const GroupRow& group, Extents extents) {
    return to_bytes(group.extent_size * extents.n);
}
Extents bytes_to_extents(const GroupRow& group, Bytes bytes) {
    return Extents(divide_up(bytes.n, to_bytes(group.extent_size).n));
}

void sync_log(Session& session, const GroupRow& group, VolumeResult& result) {
    if (auto synced = sync_group_log(session, group); !synced)
        result.warnings.push_back(synced.error().text);
}

// Opening finds the record and formats the pool. Others see a pool that is half made, and may be
// about to finish it (settle_group).
Result<> make_pool(Session& session, const GroupRow& group, const PoolRow& pool) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!session.environment.rehearsal) {
        auto made = LocalPool::open(session, group, pool);
        if (made) return {};
        if (made.error().code != Errc::busy || std::chrono::steady_clock::now() > end)
            return std::move(made).error();
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    auto transaction = TRY(session.catalog.begin());
    TRY(finish_operation(session.catalog, pool.lv.id, MakePool{}));
    TRY(session.catalog.clear_pending(pool.lv.id));
    return std::move(transaction).commit();
}

Result<VolumeResult> result_of(Result<PoolAnswer> answer) {
    if (!answer) return std::move(answer).error();
    VolumeResult result{answer->names, answer->warnings, {}};
    result.pool = std::move(*answer);
    return result;
}

}  // namespace

Result<PoolGeometry> pool_geometry(const GroupRow& group, Extents data,
                                   std::optional<Sectors> chunk_size,
                                   std::optional<Bytes> metadata_size) {
    PoolGeometry geometry;
    const Bytes size = extents_to_bytes(group, data);
    if (chunk_size) {
        if (auto valid = check_data_block_size(*chunk_size); !valid) {
            return Error(
                Errc::invalid_argument,
                fmt::format("chunk size of {} is not a multiple of 64 KiB between 64 KiB and 1 GiB",
                            format_size_long(to_bytes(*chunk_size))));
        }
        geometry.chunk_size = *chunk_size;
    } else {
        geometry.chunk_size = data_block_min;
        while (!metadata_size &&
               Bytes(size.n / to_bytes(geometry.chunk_size).n * lvm_bytes_per_chunk) >
                   chunk_doubles_above &&
               geometry.chunk_size * 2 <= data_block_max) {
            geometry.chunk_size = geometry.chunk_size * 2;
        }
    }
    if (to_bytes(geometry.chunk_size) > size) {
        return Error(
            Errc::invalid_argument,
            fmt::format("a pool of {} does not hold one chunk of {}", format_size_long(size),
                        format_size_long(to_bytes(geometry.chunk_size))));
    }
    const Bytes most(max_metadata_blocks.n * metadata_block_bytes);
    const std::uint64_t chunks = size.n / to_bytes(geometry.chunk_size).n;
    const Bytes wanted = metadata_size.value_or(
        std::clamp(Bytes(2 * lvm_bytes_per_chunk * chunks), metadata_least, most));
    if (wanted < metadata_least || wanted > Bytes(divide_up(most.n, 1 << 20) << 20)) {
        return Error(Errc::invalid_argument,
                     fmt::format("pool metadata of {}: the least is {}, the most {}",
                                 format_size_long(wanted), format_size_long(metadata_least),
                                 format_size_long(most)));
    }
    geometry.metadata = bytes_to_extents(group, wanted);
    return geometry;
}

Result<VolumeResult> create_pool(Session& session, const GroupRow& group, const NewPool& wanted) {
    if (wanted.data == Extents(0)) return Error(Errc::invalid_argument, "a pool needs a size");
    TRY(check_group_usable(session, group));
    const PoolGeometry geometry =
        TRY(pool_geometry(group, wanted.data, wanted.chunk_size, wanted.metadata_size));
    Catalog& catalog = session.catalog;
    VolumeResult result;
    PoolRow pool = wanted.settings;
    {
        auto transaction = TRY(catalog.begin());
        pool.lv.vg_id = group.id;
        pool.lv.uuid = new_uuid();
        pool.lv.name = wanted.name.empty() ? TRY(catalog.automatic_name(group.id)) : wanted.name;
        TRY(catalog.check_new_name(group, pool.lv.name));
        pool.lv.kind = LvKind::pool;
        pool.lv.pending = true;
        pool.lv.created = session.now();
        pool.chunk_size = geometry.chunk_size;
        pool.lv.id = TRY(catalog.add_pool(pool));
        const auto add = [&](SegmentRole role, Extents length) -> Result<> {
            Extents start(0);
            for (const Placement& p : TRY(place(catalog, group, {role, length, wanted.pv_ids}))) {
                TRY(catalog.add_segment(
                    {0, group.id, pool.lv.id, role, start, p.length, p.pv_id, p.start, false}));
                start += p.length;
            }
            return {};
        };
        TRY(within("pool metadata", add(SegmentRole::metadata, geometry.metadata)));
        TRY(within("pool data", add(SegmentRole::data, wanted.data)));
        for (const std::string& tag : wanted.tags)
            TRY(add_tag(catalog, {group.id, 0, pool.lv.id}, tag));
        if (wanted.spare && !TRY(grow_spare(catalog, group, geometry.metadata, session.now()))) {
            result.warnings.push_back(fmt::format(
                "no room for a metadata spare of {} in volume group {}: automatic repair will need "
                "some",
                format_size_long(extents_to_bytes(group, geometry.metadata)), group.name));
        }
        TRY(catalog.set_pending({pool.lv.id,
                                 new_uuid(),
                                 {0},
                                 {1},
                                 to_json(MakePool{}),
                                 to_json(Result<PoolAnswer>(PoolAnswer{}))}));
        TRY(std::move(transaction).commit());
    }
    if (auto made = make_pool(session, group, pool); !made) {
        auto transaction = TRY(catalog.begin());
        TRY(catalog.remove_lv(pool.lv.id));
        TRY(drop_unneeded_spare(catalog, group));
        TRY(std::move(transaction).commit());
        return std::move(made).error();
    }
    result.names.push_back(pool.lv.name);
    return result;
}

Result<VolumeResult> remove_pool(Session& session, const GroupRow& group, const PoolRow& pool) {
    VolumeResult result;
    TRY(check_not_lent(group, pool));
    TRY(check_group_usable(session, group));
    TRY(stop_server(session, pool));
    {
        const auto lock =
            TRY(within(fmt::format("pool {}/{}", group.name, pool.lv.name),
                       FileLock::exclusive(session.environment.lock_path(pool.lv.uuid),
                                           std::chrono::seconds(10))));
        auto transaction = TRY(session.catalog.begin());
        for (const ThinRow& volume : TRY(session.catalog.thins_of_pool(pool.lv.id, true)))
            TRY(session.catalog.remove_lv(volume.lv.id));
        TRY(session.catalog.remove_lv(pool.lv.id));
        TRY(drop_unneeded_spare(session.catalog, group));
        TRY(session.catalog.prune_log(group.id));
        TRY(std::move(transaction).commit());
        std::error_code ignored;
        std::filesystem::remove(session.environment.lock_path(pool.lv.uuid), ignored);
    }
    sync_log(session, group, result);
    return result;
}

Result<VolumeResult> extend_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                                 const ExtendPoolRequest& by) {
    if (by.metadata > Extents(0)) {
        Extents have(0);
        for (const SegmentRow& s :
             TRY(session.catalog.segments_of(pool.lv.id, SegmentRole::metadata, false)))
            have += s.length;
        const Bytes most(max_metadata_blocks.n * metadata_block_bytes);
        if (extents_to_bytes(group, have) >= most) {
            return Error(
                Errc::invalid_argument,
                fmt::format("the metadata of {}/{} have {} already, the most that can be used",
                            group.name, pool.lv.name, format_size_long(most)));
        }
    }
    return result_of(ask_owner(session, group, pool, new_request(by)));
}

Result<Bytes> volume_size(const GroupRow& group, const PoolRow& pool, Bytes size) {
    const std::uint64_t unit = std::max(to_bytes(group.extent_size).n, to_bytes(pool.chunk_size).n);
    constexpr std::uint64_t most = 1ULL << 60;  // NBD and the kernel count in signed 64-bit bytes
    if (size.n == 0) return Error(Errc::invalid_argument, "a volume needs a size");
    if (size.n > most)
        return Error(Errc::invalid_argument,
                     fmt::format("{} is over the largest volume of {}", format_size_long(size),
                                 format_size_long(Bytes(most))));
    return Bytes(divide_up(size.n, unit) * unit);
}

// Of sizes, in extents of 128 KiB.
constexpr std::uint64_t max_sum = (std::uint64_t{1} << 46) - 1;

Result<std::vector<std::string>> overcommit_warnings(Session& session, const GroupRow& group,
                                                     const PoolRow& pool, bool protected_) {
    // In extents of 128 KiB, the smallest there are: a sum of bytes might not fit. Summed up where
    // they lie, for there may be a hundred thousand.
    const auto sum = TRY(session.catalog.database().number(
        "SELECT sum(size_bytes >> 17) FROM thin WHERE vg_id = ?", group.id));
    const Bytes volumes(std::min(static_cast<std::uint64_t>(sum.value_or(0)), max_sum) << 17);
    const auto pools = TRY(session.catalog.pools(group.id));
    Bytes pool_sizes(0);
    Bytes own(0);
    for (const PoolRow& p : pools) {
        for (const SegmentRow& s :
             TRY(session.catalog.segments_of(p.lv.id, SegmentRole::data, false))) {
            pool_sizes += extents_to_bytes(group, s.length);
            if (p.lv.id == pool.lv.id) own += extents_to_bytes(group, s.length);
        }
    }
    if (volumes <= own || volumes <= pool_sizes) return std::vector<std::string>();
    const auto pvs = TRY(session.catalog.pvs(group.id));
    const auto free = TRY(FreeExtents::of(pvs, TRY(session.catalog.segments(group.id))));
    Bytes whole(0);
    for (const PvRow& pv : pvs) whole += extents_to_bytes(group, pv.extents);
    const Bytes left = extents_to_bytes(group, free.total());
    const std::string subject =
        pools.size() > 1 ? "thin pools" : fmt::format("thin pool {}/{}", group.name, pool.lv.name);
    std::string why;
    if (volumes > whole)
        why = fmt::format(" and the size of whole volume group ({})", format_size_long(whole));
    else if (left.n == 0) why = " (no free space in volume group)";
    else if (volumes > left)
        why = fmt::format(" and the amount of free space in volume group ({})",
                          format_size_long(left));
    else if (protected_) return std::vector<std::string>();
    else why = fmt::format(" ({})", format_size_long(pool_sizes));
    std::vector<std::string> warnings{
        fmt::format("Sum of all thin volume sizes ({}) exceeds the size of {}{}.",
                    format_size_long(volumes), subject, why)};
    if (!protected_) {
        warnings.push_back(fmt::format(
            "You have not turned on protection against thin pools running out of space: tvchange "
            "--setting autoextend.data_threshold=80 {}/{} lets it grow before it is full.",
            group.name, pool.lv.name));
    }
    return warnings;
}

Result<VolumeResult> change_pool(Session& session, const GroupRow& group, const PoolRow& row) {
    TRY(check_group_usable(session, group));
    {
        auto transaction = TRY(session.catalog.begin());
        const PoolRow now = TRY(session.catalog.pool(row.lv.id));
        TRY(check_not_lent(group, now));
        const bool begins_or_ends =
            (now.discards == Discards::ignore) != (row.discards == Discards::ignore);
        if (begins_or_ends && TRY(pool_status(session.environment, row))) {
            return Error(
                Errc::busy,
                fmt::format("{}/{} is in use: whether it ignores discards is changed while "
                            "none of its volumes is active",
                            group.name, row.lv.name));
        }
        TRY(session.catalog.set_pool_settings(row));
        TRY(std::move(transaction).commit());
    }
    VolumeResult result = TRY(announce_change(session, group));
    TRY(ask_if_served(session.environment, row, new_request(RefreshRequest{})));
    return result;
}

Result<VolumeResult> create_volumes(Session& session, const GroupRow& group, const PoolRow& pool,
                                    const MakeVolumesRequest& wanted) {
    for (const auto& one : wanted.volumes) {
        if (!one.name.empty()) TRY(check_volume_name(one.name));
    }
    return result_of(ask_owner(session, group, pool, new_request(wanted)));
}

Result<VolumeResult> remove_volumes(Session& session, const GroupRow& group, const PoolRow& pool,
                                    const RemoveVolumesRequest& wanted) {
    auto removed = result_of(ask_owner(session, group, pool, new_request(wanted)));
    const std::size_t half = wanted.lv_ids.size() / 2;
    if (removed || removed.error().code != Errc::out_of_space || half == 0) return removed;
    // A commit needs room for all that it takes apart: less at once needs less.
    RemoveVolumesRequest first{{}, wanted.deactivate}, second = first;
    first.lv_ids.assign(wanted.lv_ids.begin(), wanted.lv_ids.begin() + std::ptrdiff_t(half));
    second.lv_ids.assign(wanted.lv_ids.begin() + std::ptrdiff_t(half), wanted.lv_ids.end());
    VolumeResult all = TRY(remove_volumes(session, group, pool, first));
    const VolumeResult rest = TRY(remove_volumes(session, group, pool, second));
    all.warnings.insert(all.warnings.end(), rest.warnings.begin(), rest.warnings.end());
    return all;
}

Result<VolumeResult> resize_volume(Session& session, const GroupRow& group, const ThinRow& volume,
                                   Bytes size) {
    const PoolRow pool = TRY(session.catalog.pool(volume.pool_id));
    return result_of(
        ask_owner(session, group, pool, new_request(ResizeVolumeRequest{volume.lv.id, size})));
}

Result<VolumeResult> merge_snapshot(Session& session, const GroupRow& group,
                                    const ThinRow& snapshot, bool keep) {
    TRY(check_mergeable(session.catalog, snapshot));
    const PoolRow pool = TRY(session.catalog.pool(snapshot.pool_id));
    if (session.environment.rehearsal) {
        const auto status = TRY(pool_status(session.environment, pool));
        const auto open = [&](const ActiveVolume& v) {
            return v.clients > 0 && (v.lv_id == snapshot.lv.id || v.lv_id == snapshot.origin_id);
        };
        if (status && std::any_of(status->active.begin(), status->active.end(), open))
            return VolumeResult{};  // it would wait
    }
    return result_of(
        ask_owner(session, group, pool, new_request(MergeRequest{snapshot.lv.id, keep})));
}

Result<VolumeResult> cancel_merge(Session& session, const GroupRow& group,
                                  const ThinRow& snapshot) {
    {
        auto transaction = TRY(session.catalog.begin());
        const ThinRow now = TRY(session.catalog.thin(snapshot.lv.id));
        if (now.merging == Merging::no)
            return Error(Errc::exists,
                         fmt::format("{}/{} waits for no merge", group.name, snapshot.lv.name));
        if (TRY(session.catalog.pending(now.pool_id)))
            return Error(Errc::busy, fmt::format("the pool of {}/{} is at work; the merge may have "
                                                 "begun: try again",
                                                 group.name, snapshot.lv.name));
        TRY(set_merging(session.catalog, snapshot.lv.id, Merging::no));
        TRY(std::move(transaction).commit());
    }
    return announce_change(session, group);
}

Result<VolumeResult> rename_volume(Session& session, const GroupRow& group, const LvRow& volume,
                                   const std::string& name) {
    TRY(check_group_usable(session, group));
    VolumeResult result;
    auto transaction = TRY(session.catalog.begin());
    const std::int64_t pool_id =
        volume.kind == LvKind::thin ? TRY(session.catalog.thin(volume.id)).pool_id : volume.id;
    const PoolRow pool = TRY(session.catalog.pool(pool_id));
    TRY(check_not_lent(group, pool));
    TRY(session.catalog.check_new_name(group, name));
    TRY(session.catalog.rename_lv(volume.id, name));
    TRY(session.catalog.prune_log(group.id));
    TRY(std::move(transaction).commit());
    sync_log(session, group, result);
    if (volume.kind == LvKind::thin) {
        const auto told = ask_if_served(session.environment, pool, new_request(RefreshRequest{}));
        if (!told) result.warnings.push_back(told.error().text);
        else if (*told)
            result.warnings.insert(result.warnings.end(), (*told)->warnings.begin(),
                                   (*told)->warnings.end());
    }
    return result;
}

Result<VolumeResult> announce_change(Session& session, const GroupRow& group) {
    VolumeResult result;
    sync_log(session, group, result);
    return result;
}

Result<VolumeResult> activate(Session& session, const GroupRow& group, const PoolRow& pool,
                              const ActivateRequest& wanted) {
    return result_of(ask_server(session, group, pool, new_request(wanted)));
}

Result<VolumeResult> deactivate(Session& session, const PoolRow& pool,
                                const std::vector<std::int64_t>& lv_ids) {
    auto answer =
        TRY(ask_if_served(session.environment, pool, new_request(DeactivateRequest{lv_ids})));
    if (!answer) return VolumeResult{};
    if (answer->active.empty() && !session.environment.rehearsal)
        await_server_end(session.environment, pool);
    return VolumeResult{std::move(answer->names), std::move(answer->warnings), {}};
}

Result<std::optional<PoolAnswer>> pool_status(const Environment& environment, const PoolRow& pool) {
    return ask_if_served(environment, pool, new_request(StatusRequest{}));
}

}  // namespace thinvol
