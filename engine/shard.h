// Shard: the path of requests to thin volumes, from submit() to done().
//
// A request is cut at the edges of data blocks. Where blocks are mapped and not shared, a part goes
// straight to the data device. A write to a block that is unmapped or shared gets a new block: the
// block is reserved in memory, filled (with the payload, and zeroes or the old content around it),
// and mapped once all of it is written. Until then it is a cell: other writes to that virtual block
// wait for it.
//
// Units       bytes of the volume; data blocks
// Invariants  (C2) a mapping is inserted only after its data write completed
//             (C6) a part that looked up a data block is counted in the epoch until it has ended
//             (C7) a closed gate lets no change through; requests parked for space are not inside
// Errors      per request; metadata trouble goes to Pool::fail()
// Threads     one
// Source      drivers/md/dm-thin.c, dm-bio-prison
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "engine/block_queue.h"
#include "engine/epoch.h"
#include "engine/io_request.h"
#include "engine/known_zero.h"

namespace thinvol {

class Pool;

class Shard {
public:
    Shard(Pool& pool, BlockQueue& data, Sectors data_block_size);
    ~Shard();

    void submit(IoRequest& request);
    // Takes everything as far as it goes without waiting. True if anything happened.
    bool run_once();

    void close_gate(Volume& volume);
    bool drained(const Volume& volume);
    void open_gate(Volume& volume);
    // The volume is being closed; no request of it is left.
    void forget(const Volume& volume) { std::erase(resume_, &volume); }

    // Space may have come back, or must not be waited for any longer: writes that need some try
    // again.
    void retry_parked();
    // A commit may have made room in the metadata: changes that wait for that try again.
    void retry_changes();
    // The pool dropped its last transactions: what was waiting for them to be durable fails (C8).
    void fail_pending(const Error& error);
    bool has_parked() const {
        return !parked_.empty() || !at_gate_.empty() || !waiting_changes_.empty();
    }
    EpochTracker& epochs() { return epochs_; }
    KnownZero& known_zero() { return known_zero_; }
    Bytes block_bytes() const { return block_bytes_; }

private:
    struct Part;
    struct Slab;
    using Step = void (Shard::*)(Part&);
    // A stretch of a volume that lies on the data device in one piece.
    struct Run {
        std::uint64_t data_at = 0;  // bytes on the data device
        std::uint64_t length = 0;
        std::byte* buffer = nullptr;
    };

    // --- requests
    void admit(IoRequest& request);
    void begin(IoRequest& request);
    void begin_read(IoRequest& request);
    void begin_write(IoRequest& request);
    void begin_unmap(IoRequest& request);
    void begin_flush(IoRequest& request);
    // Answered by run_flushes(): after that flush of the data (0: none) and the commit of the
    // volume's last change.
    void await_durable(IoRequest& request, std::uint64_t ticket);
    void begin_status(IoRequest& request);
    void status_step(Part& part);
    void tell_unmapped(Part& part, std::uint64_t until);
    bool zeroes_by_unmapping(IoRequest& request);
    void zero_edge(IoRequest& request, std::uint64_t begin, std::uint64_t end);
    bool enter_gate(IoRequest& request);
    void leave_gate(IoRequest& request);
    template <class Body>
    void for_blocks(IoRequest& request, Body&& body);
    void extend(IoRequest& request, Run& run, std::uint64_t data_at, std::uint64_t length,
                std::byte* buffer);
    bool resume_waiting();
    void finish(IoRequest& request);
    void fail_request(IoRequest& request, Error error);
    bool run_flushes();

    // --- parts
    Part& new_part(IoRequest& request, Step first);
    void end_part(Part& part, Result<> outcome);
    void send(Part& part, Op op, std::uint64_t at, std::uint64_t length, Step then);
    void send_to(BlockQueue& queue, Part& part, Op op, std::uint64_t at, std::uint64_t length,
                 Step then);
    // --- the external origin
    static bool shows_origin(const Volume& volume, std::uint64_t at);
    void begin_origin_read(IoRequest& request, VirtualBlock at, std::uint64_t from,
                           std::uint64_t to);
    void read_origin(Part& part, std::uint64_t length, Step then);
    void origin_step(Part& part);
    void origin_was_read(Part& part);
    void enter_epoch(Part& part);
    void submit_run(IoRequest& request, const Run& run);
    void submit_aligned(IoRequest& request, const Run& run);
    void submit_granule(IoRequest& request, const Run& run);
    void read_granule(Part& part);
    void granule_was_read(Part& part);
    void run_ended(Part& part);
    bool takes_discards() const;
    void unmap_step(Part& part);

    // --- blocks that need a place
    void begin_block(IoRequest& request, VirtualBlock at, std::uint64_t from, std::uint64_t to);
    void dispatch_block(Part& part);
    void reserve_block(Part& part, std::optional<DataBlock> old);
    void park(Part& part);
    bool let_in_parked();
    void lacks_space(Part& part, Error error);
    void release_block(Part& part);
    Part* cell_of(const Part& part);
    Part* cell_within(const Volume& volume, VirtualBlock begin, VirtualBlock end);
    void wait_for(Part& cell, Part& part, Step then);
    std::size_t cell_bucket(const Part& part) const;
    void enter_cell(Part& part);
    void leave_cell(Part& part);
    void start_fill(Part& part);
    void fill_whole(Part& part);
    void send_whole();
    void whole_was_filled(Part& first);
    void fill_with_zeroes(Part& part);
    void write_middle(Part& part, std::uint64_t begin, std::uint64_t end, Step then);
    void zero_head(Part& part);
    void zero_tail(Part& part);
    void copy_step(Part& part);
    void copy_was_read(Part& part);
    void copy_was_written(Part& part);
    void filled(Part& part);
    void insert_mapping(Part& part);
    void abandon_block(Part& part, Error error);

    std::byte* take_buffer();
    void give_buffer(std::byte* buffer);
    std::byte* payload(const Part& part) const;

    Pool& pool_;
    BlockQueue& data_;
    Bytes block_bytes_;
    Bytes granule_;
    Bytes chunk_bytes_;  // of a copy buffer: a block, or a piece of a large one
    EpochTracker epochs_;
    KnownZero known_zero_;

    std::vector<std::unique_ptr<Slab>> slabs_;
    Part* free_parts_ = nullptr;
    static constexpr std::size_t cell_buckets = 1024;
    std::array<Part*, cell_buckets> cells_{};
    std::size_t open_cells_ = 0;
    // Whole new blocks, side by side in the request and on the device, which one write is to fill.
    Part* whole_first_ = nullptr;
    Part* whole_last_ = nullptr;
    std::vector<std::byte*> free_buffers_;
    std::size_t buffers_ = 0;

    Fifo<Part> ready_;            // their device request ended, or they may go on
    Fifo<Part> parked_;           // no data block free, or no room to map one
    Fifo<Part> waiting_changes_;  // of the metadata, that have room after the commit
    Fifo<Part> want_buffer_;
    Fifo<Part> at_gate_;           // were parked and may try again, but for a closed gate
    Fifo<IoRequest> arrived_;      // submitted while the pool is stalled
    std::vector<Volume*> resume_;  // their gate may let waiting requests in
    Fifo<IoRequest> flushes_;
    Fifo<IoRequest> finished_;
};

}  // namespace thinvol
