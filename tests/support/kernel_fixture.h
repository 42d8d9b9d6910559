// kernel_fixture: a pool that the real kernel wrote, from tests/fixtures, and what the kernel said
// of it.
//
// Units       sectors of volumes; pages of 4096 bytes
// Invariants  none
// Errors      fails the running test where a fixture is missing or does not parse
// Threads     one
// Source      tests/vm/fixtures.py makes them
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/memory_queue.h"

namespace thinvol {

struct KernelVolume {
    Sectors size{};
    std::uint64_t mapped_sectors = 0;
    std::string highest_sector;    // "-": none
    std::vector<std::byte> pages;  // what each page is filled with
};

struct KernelFixture {
    std::unique_ptr<MemoryQueue> metadata;
    std::unique_ptr<MemoryQueue> data;  // of a fixture without data, zeroes
    std::string status;                 // the pool's line; empty without data
    std::map<std::uint32_t, KernelVolume> volumes;
};

KernelFixture kernel_fixture(const std::string& name);

}  // namespace thinvol
