// PoolDifferences: where a pool's metadata and the catalog disagree, and the decisions that settle
// it: a volume that only one of them has, another transaction id.
//
// Units       bytes of volumes
// Invariants  (1) nothing changes before everything is decided; then it does in one catalog
//                 transaction
//             (2) a thin id that the pool has seen is never given to another volume
// Errors      invalid_argument: a decision about nothing that differs; corrupt: the pool does not
//             fit its extents
// Threads     one; whoever uses it holds the pool's lock
// Source      none
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/thin_metadata.h"
#include "libvm/session.h"

namespace thinvol {

// A pool as its metadata have it.
struct PoolContents {
    struct Volume {
        ThinId id;
        VolumeDetails details;
        std::uint64_t mapped_end = 0;  // virtual blocks
    };
    TransactionId transaction_id{};
    Sectors data_block_size{};
    DataBlocks data_blocks{};
    MetadataBlocks metadata_blocks{};
    bool needs_check = false;
    std::vector<Volume> volumes;
};
Result<PoolContents> contents_of(BlockQueue& metadata);

// What becomes of what differs.
struct PoolDecisions {
    struct Adoption {
        ThinId id;
        std::string name;           // empty: automatic
        std::optional<Bytes> size;  // metadata have none; what is mapped unless given
    };
    std::vector<Adoption> adopt;
    std::vector<ThinId> remove;           // unknown here
    std::vector<std::string> forget;      // names of volumes that are gone there
    std::optional<TransactionId> accept;  // the pool's, where it is not the catalog's
};

class PoolDifferences {
public:
    PoolDifferences(Session& session, const GroupRow& group, PoolRow pool, PoolContents found)
        : session_(session), group_(group), pool_(std::move(pool)), found_(std::move(found)) {}

    // A text for each difference that the decisions leave open.
    Result<std::vector<std::string>> undecided(const PoolDecisions& decisions);
    // Decisions that lose nothing: what is new gets a name, the pool's transaction id counts.
    // Volumes that are gone are left open.
    Result<PoolDecisions> keeping_all(PoolDecisions decisions);
    // Once nothing is undecided. Volumes to be removed become a recorded removal, which the pool's
    // next owner carries out.
    Result<> settle(const PoolDecisions& decisions);

private:
    Result<> check(const PoolDecisions& decisions) const;
    Result<std::int64_t> add_volume(const PoolContents::Volume& volume,
                                    const PoolDecisions::Adoption* adoption);
    Result<> end_operation();
    Result<> read_known();
    bool knows(ThinId id) const;
    const PoolContents::Volume* present(ThinId id) const;

    Session& session_;
    const GroupRow& group_;
    PoolRow pool_;
    PoolContents found_;
    std::vector<ThinRow> known_;
};

}  // namespace thinvol
