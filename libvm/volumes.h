// volumes: pools and thin volumes as a user means them: created, snapshotted, resized, renamed,
// activated, removed.
//
// Units       bytes; extents of the group
// Invariants  (1) sizes are rounded up to whole extents, and to whole chunks where those are larger
//             (2) an operation that fails changes nothing
// Errors      exists, not_found, busy (a client has it open), out_of_space, invalid_argument, ...
// Threads     one
// Source      lvmthin(7), lvcreate(8)
#pragma once

#include "libvm/groups.h"
#include "libvm/pool_access.h"

namespace thinvol {

// --- pools

struct NewPool {
    std::string name;  // empty: automatic
    Extents data{};
    std::optional<Sectors> chunk_size;
    std::optional<Bytes> metadata_size;
    bool spare = true;
    PoolRow settings{};                // its zero, discards, error_when_full, no_space_timeout
    std::vector<std::int64_t> pv_ids;  // empty: any
    std::vector<std::string> tags{};
};
struct PoolGeometry {
    Sectors chunk_size{};
    Extents metadata{};
};
// Chunk size: as given, or 64 KiB, doubled while LVM's estimate of the metadata passes 128 MiB.
// Metadata: as given, or 128 bytes a chunk (twice LVM's estimate, which counts no snapshots), 2 MiB
// at least.
Result<PoolGeometry> pool_geometry(const GroupRow& group, Extents data,
                                   std::optional<Sectors> chunk_size,
                                   std::optional<Bytes> metadata_size);

struct VolumeResult {
    std::vector<std::string> names;
    std::vector<std::string> warnings;
    PoolAnswer pool;  // how full it is, where that may matter now
};
Result<VolumeResult> create_pool(Session& session, const GroupRow& group, const NewPool& wanted);
// With all volumes in it; those that are active are deactivated, unless a client has one open.
Result<VolumeResult> remove_pool(Session& session, const GroupRow& group, const PoolRow& pool);
Result<VolumeResult> extend_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                                 const ExtendPoolRequest& by);

// zero, discards, error_when_full and no_space_timeout as in `row`; a pool in use takes them at
// once. busy: discards are to be ignored, or not any more, and the pool is in use.
Result<VolumeResult> change_pool(Session& session, const GroupRow& group, const PoolRow& row);

// --- thin volumes

// Rounded as (1) says.
Result<Bytes> volume_size(const GroupRow& group, const PoolRow& pool, Bytes size);
// What LVM warns of when the volumes of the group's pools may outgrow them; empty: nothing.
// `protected_`: the pool extends itself.
Result<std::vector<std::string>> overcommit_warnings(Session& session, const GroupRow& group,
                                                     const PoolRow& pool, bool protected_);

Result<VolumeResult> create_volumes(Session& session, const GroupRow& group, const PoolRow& pool,
                                    const MakeVolumesRequest& wanted);
// In one transaction, or in as many as the pool's metadata have room for.
Result<VolumeResult> remove_volumes(Session& session, const GroupRow& group, const PoolRow& pool,
                                    const RemoveVolumesRequest& wanted);
Result<VolumeResult> resize_volume(Session& session, const GroupRow& group, const ThinRow& volume,
                                   Bytes size);
// The snapshot's origin gets its content, and its place goes: at once, or recorded for the moment
// when neither is in use any more: then there are no names. `names`: the origin's, and that of the
// state before where it is kept.
Result<VolumeResult> merge_snapshot(Session& session, const GroupRow& group,
                                    const ThinRow& snapshot, bool keep);
// A recorded merge is given up. exists: there is none.
Result<VolumeResult> cancel_merge(Session& session, const GroupRow& group, const ThinRow& snapshot);
// A pool or a thin volume. Clients that are connected stay; new ones find the new name.
Result<VolumeResult> rename_volume(Session& session, const GroupRow& group, const LvRow& volume,
                                   const std::string& name);

// After a change of the catalog alone: brings the group's log up to it.
Result<VolumeResult> announce_change(Session& session, const GroupRow& group);

// Merges that waited for these volumes happen before, or after they are deactivated; `names`: the
// origins.
Result<VolumeResult> activate(Session& session, const GroupRow& group, const PoolRow& pool,
                              const ActivateRequest& wanted);
// With the last active volume the pool's server ends; it is gone, locks and all, when this returns.
Result<VolumeResult> deactivate(Session& session, const PoolRow& pool,
                                const std::vector<std::int64_t>& lv_ids);
// Which volumes of the pool are active, and the pool's state; nothing if none is.
Result<std::optional<PoolAnswer>> pool_status(const Environment& environment, const PoolRow& pool);

}  // namespace thinvol
