// shard_part: what Shard keeps of each piece of a request; shared by the files that implement it.
//
// Units       bytes of the volume and of the data device
// Invariants  a part is in one list at a time
// Errors      none
// Threads     the shard's
// Source      none
#pragma once

#include "engine/pool.h"
#include "engine/shard.h"

namespace thinvol {

constexpr std::uint64_t round_down(std::uint64_t v, Bytes to) { return v - v % to.n; }
constexpr std::uint64_t round_up(std::uint64_t v, Bytes to) { return divide_up(v, to.n) * to.n; }
inline iovec slice(std::byte* base, std::uint64_t length) { return {base, length}; }

struct Shard::Part {
    Part* link = nullptr;
    Shard* shard = nullptr;
    IoRequest* request = nullptr;
    Step step = nullptr;
    Request io;
    std::array<iovec, 3> vec{};
    std::uint64_t epoch = 0;
    bool in_epoch = false;
    std::byte* buffer = nullptr;  // a copy buffer
    Run run{};                    // of a granule part; of an unmap part the virtual range

    // A block that gets a new place.
    VirtualBlock at{};
    std::uint64_t from = 0;  // bytes within the block that the request covers: [from, to)
    std::uint64_t to = 0;
    DataBlock block{};               // reserved for it
    std::optional<DataBlock> old{};  // what it is copied from
    std::uint64_t filled = 0;        // bytes copied so far
    Part* next_filled = nullptr;     // by the same write
    std::uint64_t generation = 0;
    bool holds_block = false;
    bool is_cell = false;
    Part* next_cell = nullptr;
    Fifo<Part> waiters;  // for this cell
};

}  // namespace thinvol
