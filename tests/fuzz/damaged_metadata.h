// DamagedMetadata: a sound pool's metadata, changed as an input says and sealed again: each block
// that was touched has the checksum and the number that make it pass for what it was.
//
// An input is a byte for the target and then rows of 12 bytes: what to do, to which block in use
// (by its rank), where in it (16 bits), with which number (64 bits).
//
// Units       metadata blocks; offsets in bytes
// Invariants  (1) the same input gives the same image
//             (2) no row at all gives the sound image
// Errors      the process ends if the sound image cannot be made
// Threads     one
// Source      the format is engine/format.h
#pragma once

#include <vector>

#include "engine/format.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/memory_queue.h"

namespace thinvol {

class DamagedMetadata {
public:
    static constexpr std::uint64_t blocks = 128;
    static constexpr DataBlocks data_blocks{4000};
    static constexpr std::size_t row_bytes = 12;
    static constexpr std::uint64_t mapped = 300;  // of each of the volumes, in the sound image

    // The device as the input's rows leave it.
    static MemoryQueue make(FuzzInput& input);
    static const std::vector<std::uint64_t>& blocks_in_use();
};

}  // namespace thinvol
