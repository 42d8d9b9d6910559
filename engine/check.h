// check: a full recount of a pool's metadata, by code that shares no bookkeeping with the engine.
//
// Units       metadata blocks and data blocks
// Invariants  (1) reads only; the device must not change meanwhile (a pinned transaction, or an
//                 owner's lock)
//             (2) every block is expanded once however often it is shared: time is that of the
//                 blocks in use
//             (3) a damaged image ends in findings, in bounded time, never in an assertion
// Errors      io_error when the superblock cannot be read; damage is a finding, not an error
// Threads     one
// Source      the rules are at the top of engine/format.h; thin_check of thin-provisioning-tools
//             1.x for what is worth checking
#pragma once

#include <string>
#include <vector>

#include "engine/block_queue.h"
#include "engine/superblock.h"

namespace thinvol {

struct CheckReport {
    enum class Severity { leak, damage };  // leak: space is lost, no data is in danger
    struct Finding {
        Severity severity;
        std::string text;
    };
    std::vector<Finding> findings;  // the first ones, see `unlisted`
    std::uint64_t unlisted = 0;
    std::uint64_t leaks = 0;
    std::uint64_t damages = 0;

    Superblock superblock;
    bool superblock_valid = false;
    std::uint64_t volumes = 0;
    std::uint64_t mappings = 0;  // of all volumes, shared ones counted for each
    std::uint64_t metadata_used = 0;
    std::uint64_t data_used = 0;

    bool clean() const { return leaks == 0 && damages == 0; }
    void add(Severity severity, std::string text);
};

Result<CheckReport> check_metadata(BlockQueue& device);

}  // namespace thinvol
