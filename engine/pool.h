// Pool: a thin pool that is open: its metadata, the requests to its volumes, its commits.
//
// Units       as noted; sizes of volumes in bytes
// Invariants  the durability and reuse contract C1 to C8, stated in ARCHITECTURE.md and where it is
//             kept: C1 C2 committer.h, C3 shard.h, C4 C5 the space maps, C6 reclaimer.h, C7 here,
//             C8 here
// Errors      per request and per operation; trouble with the pool itself changes mode()
// Threads     one thread for all calls; no threads and no clock of its own
// Source      drivers/md/dm-thin.c
//
//   write <--> out_of_data_space          (no free data block; freed or added ones lead back)
//   write <--> out_of_metadata_space      (room is left for freeing only)
//   any ---> read_only                    (needs_check on disk, or a commit failed: C8)
//   any ---> failed                       (the metadata cannot be read any more)
#pragma once

#include <functional>
#include <memory>
#include <variant>

#include "engine/committer.h"
#include "engine/reclaimer.h"
#include "engine/shard.h"

namespace thinvol {

enum class PoolMode { write, out_of_data_space, out_of_metadata_space, read_only, failed };
const char* name_of(PoolMode mode);

struct PoolOptions {
    bool zero_new_blocks = true;
    bool discard_passdown = true;
    MetadataOptions metadata{};
};

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
using PoolOperation =
    std::variant<CreateThin, CreateSnapshot, RemoveThin, TrimThin, GrowData, GrowMetadata>;

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
    std::uint64_t commits = 0;
    bool settled = true;  // nothing in flight and nothing to commit
};

class Pool {
public:
    // Makes new metadata and commits it. Blocks until it is durable.
    static Result<std::unique_ptr<Pool>> create(BlockQueue& metadata, BlockQueue& data,
                                                Sectors data_block_size,
                                                const PoolOptions& options);
    // Opens what create() or the kernel made. Writes nothing.
    static Result<std::unique_ptr<Pool>> open(BlockQueue& metadata, BlockQueue& data,
                                              const PoolOptions& options);

    // --- volumes. One object a thin id, however often it is opened.
    Result<Volume*> open_volume(ThinId id, Bytes size, bool read_only);
    // No request of the volume may be in flight when the last opener closes it.
    void close_volume(Volume& volume);
    Volume* find_volume(ThinId id);

    void submit(IoRequest& request) { shard_.submit(request); }
    // Refused at once: not_found, exists, busy (a volume to be removed is open), invalid_argument,
    // out_of_space. Everything else is decided by the commit: after io_error the transaction id on
    // disk says whether it happened.
    void apply(ApplyRequest& request) { applies_.push(request); }
    // Commits soon if anything changed; for the caller's timer.
    void commit_if_changed() {
        if (metadata_ != nullptr && metadata_->changed()) commit_wanted_ = true;
    }

    // Takes everything as far as it goes without waiting. True if anything happened.
    bool run_once();
    // Runs until done() or nothing is in flight; for commands and tests that have no reactor.
    void run_until(const std::function<bool()>& done);
    // Runs until everything changed is durable and everything freed is handed back.
    Result<> settle();

    PoolStatus status() const;
    PoolMode mode() const { return mode_; }
    Sectors data_block_size() const { return data_block_size_; }
    struct VolumeUse {
        std::uint64_t mapped = 0;
        std::optional<VirtualBlock> highest{};
    };
    Result<VolumeUse> volume_use(ThinId id);
    Result<std::vector<ThinId>> volume_ids();

    // A reader of the durable transaction (C9): its blocks stay as they are until unpin().
    struct Pin {
        CommitNumber commit;
        std::uint64_t generation;
        std::array<std::byte, metadata_block_bytes> superblock;
    };
    Result<Pin> pin();
    void unpin(const Pin& pin);
    BlockQueue& metadata_device() { return metadata_device_; }

    // --- for Shard and Reclaimer
    ThinMetadata& metadata() { return *metadata_; }
    DataFlusher& flusher() { return flusher_; }
    void want_commit() { commit_wanted_ = true; }
    // A change to the metadata failed in the middle: drop the open transaction (C8).
    void fail(Error error);
    bool stalled() const { return stalled_; }
    std::uint64_t generation() const { return generation_; }
    // Whether a new block may be mapped now; the error says why not.
    Result<> may_provision() const;
    void ran_out_of(PoolMode what, const Error& error);

private:
    Pool(BlockQueue& metadata, BlockQueue& data, Sectors data_block_size,
         const PoolOptions& options);
    bool run_apply();
    bool run_commit();
    bool run_failure();
    void reload();
    Result<> validate(const ApplyRequest& request);
    Result<> perform(PoolOperation& operation);
    Result<> trim(TrimThin& operation);
    void start_apply(ApplyRequest& request);
    void execute_apply();
    void finish_apply(Result<> outcome);
    void find_space();
    void persist_needs_check();

    BlockQueue& metadata_device_;
    BlockQueue& data_;
    Sectors data_block_size_;
    PoolOptions options_;
    std::unique_ptr<ThinMetadata> metadata_;  // null in mode failed
    DataFlusher flusher_;
    Committer committer_;
    Shard shard_;
    Reclaimer reclaimer_;
    std::map<ThinId, std::pair<std::unique_ptr<Volume>, std::uint32_t>>
        volumes_;  // and how often opened

    PoolMode mode_ = PoolMode::write;
    std::string trouble_;
    bool commit_wanted_ = false;
    bool stalled_ = false;  // fail() was called and reload() has not run yet
    std::uint64_t generation_ = 0;

    Fifo<ApplyRequest> applies_;
    ApplyRequest* apply_ = nullptr;
    enum class ApplyState { draining, trimming, committing } apply_state_ = ApplyState::draining;
    std::vector<Volume*> gated_;
    bool trim_unfinished_ = false;
    CommitNumber apply_commit_{};
};

}  // namespace thinvol
