// Pool: a thin pool that is open: its metadata, the requests to its volumes, its commits.
//
// Units       as noted; sizes of volumes in bytes
// Invariants  the durability and reuse contract, stated in ARCHITECTURE.md and where it is kept
// Errors      per request and per operation; trouble with the pool itself changes mode()
// Threads     one thread for all calls, and those of lanes(); no threads and no clock of its own
// Source      drivers/md/dm-thin.c
//
//   write <--> out_of_data_space          (no free data block; freed or added ones lead back)
//   write <--> out_of_metadata_space      (room is left for freeing only)
//   write <--> read_only                  (by its features)
//   any ---> read_only                    (needs_check on disk, or a commit failed: C8)
//   any ---> failed                       (the metadata cannot be read any more)
//
// Out of space, writes that need some wait until it comes, or, after the pool's timeout or by its
// features, fail; reads, overwrites and all that frees go on. The owner's tick() is the clock.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "engine/committer.h"
#include "engine/pool_event.h"
#include "engine/pool_features.h"
#include "engine/pool_operation.h"
#include "engine/reclaimer.h"
#include "engine/shard.h"
#include "engine/space_watch.h"

namespace thinvol {

struct PoolOptions {
    PoolFeatures features{};
    MetadataOptions metadata{};
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
    Result<Volume*> open_volume(ThinId id, Bytes size, bool read_only,
                                BlockQueue* external_origin = nullptr);
    // No request of the volume may be in flight when the last opener closes it.
    void close_volume(Volume& volume);
    void resize_volume(Volume& volume, Bytes size, bool read_only);
    Volume* find_volume(ThinId id);
    void set_outlived(Volume& volume, bool on);  // (C12)
    // Open or not, until it is removed; bounds of 0 and 0 end it. Reads all the volume's mappings.
    Result<> set_bounds(ThinId id, const SpaceBounds& bounds);
    // How many blocks the volume has of its own; not_found where no bounds are set.
    Result<DataBlocks> own_blocks(ThinId id) const;
    void submit(IoRequest& request) { shard_.submit(request); }
    // Refused at once: not_found, exists, busy (a volume to be removed is open), invalid_argument,
    // out_of_space. All else is decided by the commit: after io_error the id on disk tells.
    void apply(ApplyRequest& request) { applies_.push(request); }
    // The owner's clock, about once a second, whatever its origin: commits what changed, ends the
    // wait for space when its time is over, and sets the pace of discards.
    void tick(std::chrono::milliseconds now);
    // Commits soon if anything changed.
    void commit_if_changed() {
        if (metadata_ != nullptr && metadata_->changed()) commit_wanted_ = true;
    }

    // Within run_once(), tick() and set_features().
    void on_event(EventSink sink) { on_event_ = std::move(sink); }
    const PoolFeatures& features() const { return features_; }
    // At once, in use. busy: only a pool without open volumes begins or ends to ignore discards.
    Result<> set_features(const PoolFeatures& features);

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

    // What other threads' ways to the volumes (lane.h) stand on.
    Lanes& lanes() { return lanes_; }
    // --- for Shard and Reclaimer
    ThinMetadata& metadata() { return *metadata_; }
    DataFlusher& flusher() { return flusher_; }
    bool want_commit();  // whether one comes, or is under way: what it frees is worth waiting for
    // A change to the metadata failed in the middle: drop the open transaction (C8).
    void fail(Error error);
    bool stalled() const { return stalled_; }
    std::uint64_t generation() const { return generation_; }
    // Whether a new block may be mapped now; the error says why not.
    Result<> may_provision() const;
    // Lanes learn what the volume is, and whether its gate lets their writes in.
    static void show_to_lanes(Volume& volume);
    void ran_out_of(PoolMode what, const Error& error);
    // Whether a write that finds no space waits for it.
    bool waits_for_space() const { return !features_.error_if_no_space && !waited_too_long_; }
    // C10: the file system below the data device is full. While it is, one waiting write a second
    // tries.
    void ran_out_below(const Error& error);
    bool may_try_below() {
        return !full_below_ || !waits_for_space() || std::exchange(probe_below_, false);
    }
    void filled_new_block();
    // Whether the volume's bounds, and those of the others, let it have one more block.
    Result<> within_bounds(const Volume& volume) const {
        return metadata_->any_bounds() ? metadata_->within_bounds(*volume.device) : Result<>();
    }

private:
    Pool(BlockQueue& metadata, BlockQueue& data, Sectors data_block_size,
         const PoolOptions& options);
    bool run_apply();
    bool run_commit();
    void settle_volumes();
    bool run_failure();
    void reload();
    Result<> validate(const ApplyRequest& request);
    Result<> perform(PoolOperation& operation);
    Result<> trim(TrimThin& operation);
    void start_apply(ApplyRequest& request);
    void execute_apply();
    void finish_apply(Result<> outcome);
    std::string unsound() const;
    void set_mode(PoolMode mode, std::string trouble);
    void tell(PoolEvent::Kind kind, unsigned percent, std::string text, unsigned from = 0);
    void watch_space();
    void find_space();
    BlockQueue* busy_origin();
    void persist_needs_check();

    BlockQueue& metadata_device_;
    BlockQueue& data_;
    Sectors data_block_size_;
    PoolFeatures features_;
    MetadataOptions metadata_options_;
    EventSink on_event_;
    std::unique_ptr<ThinMetadata> metadata_;  // null in mode failed
    DataFlusher flusher_;
    Committer committer_;
    Lanes lanes_;
    Shard shard_;
    Reclaimer reclaimer_;
    using Opened = std::pair<std::unique_ptr<Volume>, std::uint32_t>;  // and how often
    std::map<ThinId, Opened> volumes_;
    std::vector<Volume*> over_origin_;  // those with an external origin

    PoolMode mode_ = PoolMode::write;
    std::string trouble_;
    bool commit_wanted_ = false;
    bool stalled_ = false;       // fail() was called and reload() has not run yet
    bool lanes_closed_ = false;  // for reload()
    std::uint64_t generation_ = 0;
    SpaceWatch data_watch_;
    SpaceWatch metadata_watch_;
    std::optional<std::chrono::milliseconds> last_tick_;
    std::optional<std::chrono::milliseconds> full_since_;
    bool waited_too_long_ = false;
    bool full_below_ = false;
    bool probe_below_ = false;

    Fifo<ApplyRequest> applies_;
    ApplyRequest* apply_ = nullptr;
    enum class ApplyState {
        draining,
        sealing,  // needs an open transaction without changes
        trimming,
        committing
    } apply_state_ = ApplyState::draining;
    std::vector<Volume*> gated_;
    bool trim_unfinished_ = false;
    CommitNumber apply_commit_{};
};

}  // namespace thinvol
