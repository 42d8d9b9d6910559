// IoRequest: one read, write or other request to a thin volume, and the Volume it is for.
//
// Units       bytes of the volume, any alignment
// Invariants  (1) the request and its buffer belong to the engine from Pool::submit() until done()
//             (2) done() runs inside Pool::run_once(), once, and may submit further requests
// Errors      in `outcome`: invalid_argument (outside the volume), out_of_space, read_only,
//             io_error, corrupt, unsupported (fast_only)
// Threads     the shard's
// Source      the Linux bio; NBD's commands
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <vector>

#include "engine/base/fifo.h"
#include "engine/base/result.h"
#include "engine/base/units.h"
#include "engine/block_queue.h"

namespace thinvol {

class Lane;
struct ThinDevice;
struct Volume;

enum class IoKind : std::uint8_t { read, write, write_zeroes, discard, flush, status };

constexpr bool changes_volume(IoKind kind) {
    return kind == IoKind::write || kind == IoKind::write_zeroes || kind == IoKind::discard;
}

// What it changes must be read again, whatever comes; what a discard leaves is anybody's guess.
constexpr bool must_last(IoKind kind) {
    return kind == IoKind::write || kind == IoKind::write_zeroes;
}

// Where the bytes of a stretch of a volume come from.
enum class Backing : std::uint8_t {
    none,       // nowhere: they are zero
    origin,     // no block: the external origin
    exclusive,  // a block of the volume alone
    shared      // a block older than the volume's last snapshot
};
struct VolumeExtent {
    std::uint64_t length;
    Backing backing;
};
// Behind the others; a neighbour that is alike takes it in.
inline void add_extent(std::vector<VolumeExtent>& extents, std::uint64_t length, Backing backing) {
    if (!extents.empty() && extents.back().backing == backing) extents.back().length += length;
    else extents.push_back({length, backing});
}

struct IoRequest {
    IoKind kind = IoKind::read;
    bool fua = false;             // done only when it and what maps it are durable
    bool keep_allocated = false;  // write_zeroes: leave the range backed by data blocks
    bool fast_only = false;       // write_zeroes: `unsupported` where it would have to write
    bool to_block_end =
        false;  // the manager's own: may reach past the volume's end, within its last data block
    bool waits_for_space = true;  // where the pool lets writes wait at all
    Volume* volume = nullptr;
    ByteOffset offset{};
    Bytes length{};
    std::byte* buffer = nullptr;  // of read and write: `length` bytes
    // From `offset` on, in order, neighbours different. Of status: what was found, as far as `most`
    // extents and a bounded effort go. Of a read that names it: holes as `none`, whose part of
    // the buffer is left as it is, anything else as `exclusive`.
    std::vector<VolumeExtent>* extents = nullptr;
    std::size_t most = 0;
    Result<> outcome{};
    void (*done)(IoRequest&) = nullptr;
    void* owner = nullptr;

    // The engine's while in flight.
    IoRequest* link = nullptr;
    Lane* lane = nullptr;      // whose it is, that handed it over
    std::uint32_t parts = 0;   // unfinished
    std::uint32_t parked = 0;  // of those, waiting for space
    bool inside_gate = false;
    bool exclusive = false;
    std::uint64_t flush_ticket = 0;
    CommitNumber flush_commit{};
};

// Lets changes of one volume through, or holds them back (C7).
struct Gate {
    std::uint32_t in_flight = 0;  // let through and not finished, but for those parked for space
    std::uint32_t closed = 0;     // how many hold it closed
    bool exclusive = false;       // one request is alone inside, or waits for that
    Fifo<IoRequest> waiting;
};

inline constexpr std::size_t lanes_max = 16;

// What lanes know of a volume (lanes.h). The pool's thread stores all of it but `changes`.
struct LaneView {
    std::atomic<std::uint64_t> size{0};  // bytes; 0: nothing is to be done without asking
    std::atomic<bool> writes{false};     // (C7) let in
    std::atomic<bool> unsettled{false};  // (C12) there may be mappings that are not durable
    std::atomic<std::uint32_t> snapshot_time{0};
    struct alignas(64) Count {
        std::atomic<std::uint32_t> n{0};
    };
    std::array<Count, lanes_max> changes{};  // under way, by lane
};

// A thin volume that is open; made and ended by Pool::open_volume() and Pool::close_volume().
struct Volume {
    ThinId id{};
    Bytes size{};
    bool read_only = false;
    ThinDevice* device =
        nullptr;  // null: it was lost when the pool's last transactions were dropped
    BlockQueue* external_origin = nullptr;  // what unmapped blocks show, as far as it goes
    bool outlived = false;                  // (C12) who uses it goes on when this process is killed
    bool lost_changes = false;  // what was acknowledged was dropped: its flushes fail from now on
    Gate gate{};
    LaneView lanes{};
    std::uint32_t requests = 0;  // submitted to the pool and not done
};

}  // namespace thinvol
