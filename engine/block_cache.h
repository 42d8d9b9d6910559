// BlockCache: metadata blocks in memory, each checked once when it comes from the device.
//
// Units       metadata blocks
// Invariants  (1) a frame's block number, checksum and shape were verified, or we made the block
//                 ourselves
//             (2) an open frame may change; a sealed one is being written and may not; a clean one
//                 equals the device
//             (3) a frame stays where it is until trim(): a caller may hold several at once
// Errors      io_error; corrupt, naming the block and what was found and expected
// Threads     externally synchronised (the metadata executor)
// Source      drivers/md/persistent-data/dm-block-manager.h
//
//   read() miss --> clean --(shadow: never in place)
//   create() -----> open --seal()--> sealed --settle()--> clean
//   trim() forgets clean frames, least recently used first (second chance).
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "engine/block_queue.h"
#include "engine/format.h"

namespace thinvol {

struct Frame {
    enum class State : std::uint8_t { unused, clean, open, sealed };
    std::byte* bytes = nullptr;  // metadata_block_bytes, aligned to as many
    MetadataBlock at{};
    BlockKind kind{};
    State state = State::unused;
    bool recently_used = false;
    std::uint32_t open_slot = 0;  // where BlockCache lists it while open

    BlockBytes block() { return BlockBytes(bytes, metadata_block_bytes); }
};

class BlockCache {
public:
    // `keep`: how many clean frames trim() leaves.
    BlockCache(BlockQueue& device, MetadataBlocks size, std::size_t keep);
    ~BlockCache();
    BlockCache(const BlockCache&) = delete;
    BlockCache& operator=(const BlockCache&) = delete;

    // The block as that kind, from memory or from the device.
    Result<Frame*> read(MetadataBlock at, BlockKind kind);
    // A zeroed open frame for a block that was just allocated; its own number is filled in.
    Frame& create(MetadataBlock at, BlockKind kind);
    // Forgets an open frame whose block was freed in the transaction that allocated it.
    void drop_open(MetadataBlock at);
    // The frame if it is in memory, else null.
    Frame* find(MetadataBlock at) const { return at.n < slots_size_ ? slots_[at.n] : nullptr; }

    // Seals all open frames: gives them their checksum and returns them in block order.
    std::vector<Frame*> seal();
    // What seal() returned is durable.
    void settle(const std::vector<Frame*>& frames);
    void grow(MetadataBlocks size);
    // Not to be called while a caller holds frames.
    void trim();

    std::size_t open_frames() const { return open_.size(); }

private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    struct Slab;
    Frame& unused_frame();
    void release(Frame& frame);

    BlockQueue& device_;
    std::size_t keep_;
    std::unique_ptr<Frame*[], Free>
        slots_;  // by block number; pages of it that are never used cost nothing
    std::size_t slots_size_ = 0;
    std::vector<std::unique_ptr<Slab>> slabs_;
    std::vector<Frame*> unused_;
    std::vector<Frame*> open_;
    std::size_t used_ = 0;
    std::size_t hand_ = 0;  // of the clock, over all frames
};

const char* name_of(BlockKind kind);
// Checks checksum, own number and shape of a block read as that kind.
Result<> check_block(ConstBlockBytes block, MetadataBlock at, BlockKind kind);

}  // namespace thinvol
