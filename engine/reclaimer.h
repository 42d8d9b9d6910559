// Reclaimer: brings freed data blocks back into use, and their space back to the device below.
//
// Units       data blocks
// Invariants  (C6) a block comes in here when the commit that freed it is durable; it is punched,
//             or handed back, only once every request that was in flight then has ended
// Errors      a discard that fails costs space below the pool, nothing else: it is ignored
// Threads     the shard's
// Source      dm-thin.c process_prepared_discard_passdown
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "engine/block_queue.h"
#include "engine/epoch.h"
#include "engine/known_zero.h"
#include "engine/lanes.h"

namespace thinvol {

class ThinMetadata;

class Reclaimer {
public:
    Reclaimer(BlockQueue& data, EpochTracker& epochs, Lanes& lanes, KnownZero& known_zero,
              Sectors data_block_size)
        : data_(data),
          epochs_(epochs),
          lanes_(lanes),
          known_zero_(known_zero),
          data_block_size_(data_block_size) {}

    void set_passdown(bool passdown) { passdown_ = passdown; }
    // `passed` went by: that much more may be discarded. A rate of 0 sets no limit.
    void allow(Bytes rate, std::chrono::milliseconds passed);

    void add(std::vector<DataBlock> blocks);
    // With `hurry`, somebody waits for space: blocks come back without being punched.
    bool run_once(ThinMetadata& metadata, bool hurry);
    bool idle() const { return waiting_.empty() && runs_.empty() && punching_ == 0; }
    // The metadata was opened anew: nothing is owed to it. Discards in flight are let run out.
    void forget();

private:
    struct Batch {
        std::uint64_t epoch;       // of the shard
        std::uint64_t lane_epoch;  // of the lanes
        std::vector<DataBlock> blocks;
    };
    struct Run {
        DataBlock first;
        DataBlocks length;
    };
    struct Punch {
        Request request;
        Run run;
        bool busy = false;
        bool finished = false;
        bool forgotten = false;
    };
    void queue_runs(std::vector<DataBlock> blocks);
    void hand_back(ThinMetadata& metadata, const Run& run);
    void start(Punch& punch, const Run& run);

    BlockQueue& data_;
    EpochTracker& epochs_;
    Lanes& lanes_;
    KnownZero& known_zero_;
    Sectors data_block_size_;
    bool passdown_ = true;
    std::optional<std::int64_t> allowance_;  // bytes; none: no limit
    std::deque<Batch> waiting_;              // for their epoch
    std::deque<Run> runs_;                   // may be punched
    std::array<Punch, 8> punches_{};
    std::size_t punching_ = 0;
};

}  // namespace thinvol
