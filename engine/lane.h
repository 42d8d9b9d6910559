// Lane: a thread's own way to a pool's volumes, for what needs no change of the metadata: reads,
// and writes to blocks that are mapped and not shared. It looks into the mapping cache and goes to
// the data device by queues of its own, without a lock. What it cannot decide, it hands over to
// the pool's thread, and gets it back when it has ended: a miss, a new or shared block, a discard,
// a flush, FUA, bytes that fill no granule, a closed gate.
//
// Why a flush on the pool's thread covers a lane's writes: they were answered when it came, and
// the queues of one file share what is written and not flushed (FileQueue). What maps them was
// there before, in this transaction or an earlier one, and the volume's last change says which.
//
// Units       bytes of the volume
// Invariants  (C6) between the lookup and the end of what it found, the lane is in the epoch
//             (C7) what changes a volume is counted from before its lookup to its end
//             (C12) what it writes to is durable where who uses the volume outlives the server
//             done() of a request runs on this thread, inside run_once()
// Errors      as the pool's
// Threads     one; made and ended on the pool's, while this one does nothing
// Source      none
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "engine/lanes.h"

namespace thinvol {

class Lane {
public:
    // `data`: the pool's data device. `wake`: wakes this lane's thread; any thread calls it.
    Lane(Lanes& lanes, BlockQueue& data, Sectors data_block_size, std::function<void()> wake);
    ~Lane();
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;

    void submit(IoRequest& request);
    // Takes everything as far as it goes without waiting. True if anything happened.
    bool run_once();
    // Of the pool's thread: the request, which was handed over, has ended.
    void give_back(IoRequest& request) {
        if (given_back_.push(request)) wake_();
    }

private:
    struct Part;
    struct Slab;
    struct Run {
        std::uint64_t data_at = 0;  // bytes on the data device, or `hole`
        std::uint64_t length = 0;
        std::byte* buffer = nullptr;
    };
    static constexpr std::uint64_t hole = ~0ULL;

    bool try_here(IoRequest& request);
    bool look_up(IoRequest& request);
    bool add(std::uint64_t data_at, std::uint64_t length, std::byte* buffer);
    static void tell(IoRequest& request, const Run& run);
    void send(IoRequest& request);
    Part& new_part();
    void end(Part& part);
    void finish(IoRequest& request, std::uint64_t epoch);
    void enter();
    void leave(std::uint64_t epoch);

    Lanes& lanes_;
    BlockQueue& data_;
    Bytes block_bytes_;
    Bytes granule_;
    std::function<void()> wake_;
    std::size_t number_;

    // What is under way, by epoch; the front is what the pool's thread sees.
    struct Count {
        std::uint64_t epoch;
        std::uint32_t n;
    };
    std::deque<Count> under_way_;
    std::vector<Run> runs_;  // of the request at hand
    std::vector<std::unique_ptr<Slab>> slabs_;
    Part* free_parts_ = nullptr;
    std::size_t in_flight_ = 0;  // at the data device
    Fifo<Part> ended_;
    Fifo<IoRequest> finished_;
    Mailbox<IoRequest> given_back_;
};

}  // namespace thinvol
