// Committer: takes one transaction after the other to the metadata device, in an order that no
// crash can hurt.
//
// Why a crash anywhere is safe: until the superblock of N is durable, the device's superblock is
// that of N-1, and nothing that N-1 refers to was written over, for N's blocks were free in N-1
// (C4). Once it is durable, everything that it refers to is: the metadata blocks by the metadata
// flush, the data by the data flush, both completed before the superblock was submitted (C1), and
// the data flush was asked for after the seal, when each mapping in N already had its data written
// (C2). The superblock itself is one sector's worth of bytes.
//
// Units       commits
// Invariants  C1, C2; at most one commit is in flight
// Errors      a failure of any step ends in failed(): the sealed and the open transaction are lost
//             (C8)
// Threads     the metadata executor's
// Source      dm-thin-metadata.c __commit_transaction(), dm-thin.c commit()
//
//   idle --start()--> writing --(blocks written)--> flushing --(both flushes)--> superblock
//   superblock --(durable)--> idle
//     any step that fails --> draining --(nothing in flight)--> failed
#pragma once

#include <memory>
#include <optional>

#include "engine/data_flusher.h"
#include "engine/thin_metadata.h"

namespace thinvol {

class Committer {
public:
    Committer(BlockQueue& metadata_device, DataFlusher& flusher)
        : device_(metadata_device), flusher_(flusher) {}

    bool idle() const { return state_ == State::idle; }
    bool failed() const { return state_ == State::failed; }
    const Error& error() const { return *error_; }
    // Seals the open transaction and begins to write it. Only when idle and something changed.
    void start(ThinMetadata& metadata);
    // Takes the commit in flight as far as it goes without waiting. True if anything happened.
    bool run_once(ThinMetadata& metadata);
    // Data blocks that the last durable commit set free.
    std::vector<DataBlock> take_retired() { return std::exchange(retired_, {}); }
    std::uint64_t commits() const { return commits_; }
    // After failed(): ready for metadata opened anew.
    void reset();

private:
    enum class State { idle, writing, flushing, superblock, draining, failed };
    struct BlockWrite {
        Request request;
        std::vector<iovec> parts;
    };
    void submit(Request& request);
    void submit_blocks();
    void submit_flush();
    void submit_superblock();
    void fail(Error error);

    BlockQueue& device_;
    DataFlusher& flusher_;
    State state_ = State::idle;
    std::optional<SealedCommit> commit_;
    std::uint64_t data_flush_ = 0;
    std::vector<std::unique_ptr<BlockWrite>> writes_;
    Request flush_;
    iovec superblock_part_{};
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> superblock_bytes_{};
    std::size_t pending_ = 0;  // requests in flight
    std::optional<Error> step_error_;
    std::optional<Error> error_;
    std::vector<DataBlock> retired_;
    std::uint64_t commits_ = 0;
};

}  // namespace thinvol
