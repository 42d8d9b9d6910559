// pool_operations: changes that touch the catalog and a pool, as they are recorded while they
// happen.
//
// Each has four faces: what it writes to the catalog before the pool is asked (the caller's part,
// with the record itself), what the pool is asked, and how the catalog goes on when the pool did
// it, or did not.
//
// Units       as noted
// Invariants  (1) a recorded operation can be asked of the pool again as long as the pool's
//                 transaction id is the one from before it, and finished or undone any number of
//                 times
// Errors      as Catalog's; corrupt for a record that does not parse
// Threads     as the catalog's
// Source      LVM2's thin pool messages, made recoverable: see ARCHITECTURE.md
#pragma once

#include <variant>

#include "engine/pool.h"
#include "libvm/catalog.h"

namespace thinvol {

// The pool itself: its metadata are formatted.
struct MakePool {};
// Volumes and snapshots, all at one instant. Their rows are pending until it is done.
struct MakeVolumes {
    struct One {
        std::int64_t lv_id;
        ThinId thin_id;
        std::optional<ThinId> origin;
    };
    std::vector<One> volumes;
};
struct RemoveVolumes {
    struct One {
        std::int64_t lv_id;
        ThinId thin_id;
    };
    std::vector<One> volumes;
};
// A volume loses everything from `from` on.
struct ReduceVolume {
    std::int64_t lv_id;
    ThinId thin_id;
    Bytes size;
    VirtualBlock from;
};
// Pending segments were added to the pool.
struct GrowPool {
    DataBlocks data;
    MetadataBlocks metadata;
};
// A snapshot replaces its origin; the state before stays as another volume, or goes.
struct MergeVolume {
    std::int64_t origin_id;
    ThinId origin_thin;  // before
    std::int64_t snapshot_id;
    ThinId snapshot_thin;
    Bytes size;            // the snapshot's
    std::int64_t kept_id;  // pending, with a thin id that the pool never has; 0: it goes
};
using RecordedOperation =
    std::variant<MakePool, MakeVolumes, RemoveVolumes, ReduceVolume, GrowPool, MergeVolume>;

std::string to_json(const RecordedOperation& operation);
Result<RecordedOperation> operation_from_json(std::string_view text);

// What the pool is asked; nothing for MakePool.
std::vector<PoolOperation> asked_of_pool(const RecordedOperation& operation);
// The rows as they are once the pool did it, or if it did not. Inside a catalog transaction.
Result<> finish_operation(Catalog& catalog, std::int64_t pool_id,
                          const RecordedOperation& operation);
Result<> undo_operation(Catalog& catalog, std::int64_t pool_id, const RecordedOperation& operation);

}  // namespace thinvol
