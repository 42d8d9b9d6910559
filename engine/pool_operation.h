// pool_operation: what Pool::apply() can do to a pool, and the state that Pool::status() tells.
//
// Units       as noted
// Invariants  none; values
// Errors      none
// Threads     any
// Source      drivers/md/dm-thin.c, pool_message() and pool_status()
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/units.h"
#include "engine/pool_event.h"

namespace thinvol {

// What apply() can do to a pool, beside moving its transaction id.
struct CreateThin {
    ThinId id;
};
struct CreateSnapshot {
    ThinId id;
    ThinId origin;
};
struct RemoveThin {
    ThinId id;
};
struct TrimThin {
    ThinId id;
    VirtualBlock from;
};  // unmaps everything from there on; alone, perhaps in several commits
struct GrowData {
    DataBlocks size;
};
struct GrowMetadata {
    MetadataBlocks size;
};
// A copy of the roots that stays while the pool goes on, for readers of the device; one at a time.
struct ReserveMetadataSnapshot {};  // alone
struct ReleaseMetadataSnapshot {};
using PoolOperation = std::variant<CreateThin, CreateSnapshot, RemoveThin, TrimThin, GrowData,
                                   GrowMetadata, ReserveMetadataSnapshot, ReleaseMetadataSnapshot>;

// Several operations and the step of the transaction id, durable together or not at all.
struct ApplyRequest {
    std::vector<PoolOperation> operations;
    TransactionId from{};
    TransactionId to{};
    Result<> outcome{};
    void (*done)(ApplyRequest&) = nullptr;  // inside run_once()
    void* owner = nullptr;
    ApplyRequest* link = nullptr;
};

struct PoolStatus {
    PoolMode mode = PoolMode::write;
    bool needs_check = false;
    std::string trouble;  // why the mode is not write
    TransactionId transaction_id{};
    DataBlocks data_size{};
    DataBlocks data_used{};
    MetadataBlocks metadata_size{};
    MetadataBlocks metadata_used{};
    MetadataBlock metadata_snapshot{};  // 0: none
    bool writes_wait_for_space = true;  // else they fail
    std::uint64_t commits = 0;
    bool lost_changes = false;  // an open volume's, which its flushes tell
    bool committed = true;      // nothing is changed that is not durable
    bool settled = true;        // that, and nothing is in flight
};

}  // namespace thinvol
