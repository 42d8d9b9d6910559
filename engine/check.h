// check: a full recount of a pool's metadata, by code that shares no bookkeeping with the engine.
//
// Units       metadata blocks and data blocks
// Invariants  (1) reads only; the device must not change meanwhile (a pinned transaction, or an
//                 owner's lock)
//             (2) every block is expanded once however often it is shared: time is that of the
//                 blocks in use
//             (3) a damaged image ends in findings, in bounded time and in memory bounded by the
//                 blocks that were read, never in an assertion
// Errors      io_error when the superblock cannot be read; damage is a finding, not an error
// Threads     one caller; the mapping trees are surveyed by all workers that it gives
// Source      the rules are at the top of engine/format.h; thin_check of thin-provisioning-tools
//             1.x for what is worth checking
#pragma once

#include <string>
#include <vector>

#include "engine/block_queue.h"
#include "engine/superblock.h"
#include "engine/workers.h"

namespace thinvol {

struct CheckOptions {
    enum class Scope {
        everything,
        no_mappings,  // the trees of volumes and of details, and the space maps by themselves
        superblock,
        metadata_snapshot,  // its volumes only: the pool may be in use
    } scope = Scope::everything;
    Workers* workers = nullptr;  // null: this thread alone
};

struct CheckReport {
    enum class Severity {
        leak,  // a count is too high, or of free blocks too low: space is lost, no data is in
               // danger
        wrong_count,  // the other way round, or mapped_blocks; the trees are whole
        damage,
    };
    struct Finding {
        Severity severity;
        std::string text;
    };
    std::vector<Finding> findings;  // the first ones, see `unlisted`
    std::uint64_t unlisted = 0;
    std::uint64_t leaks = 0;
    std::uint64_t wrong_counts = 0;
    std::uint64_t damages = 0;

    // What is right instead of the leaks and wrong counts.
    struct RightCount {
        std::uint64_t of;  // a block, or a thin id
        std::uint64_t count;
    };
    std::vector<RightCount> metadata_counts;
    std::vector<RightCount> data_counts;
    std::vector<std::uint64_t> data_bitmaps;  // whose index entry is wrong
    std::vector<RightCount> mapped_blocks;    // of volumes

    Superblock superblock;
    bool superblock_valid = false;
    std::uint64_t volumes = 0;
    std::uint64_t mappings = 0;  // of all volumes, shared ones counted for each
    std::uint64_t metadata_used = 0;
    std::uint64_t data_used = 0;

    bool clean() const { return leaks + wrong_counts + damages == 0; }
    void add(Severity severity, std::string text);
};

Result<CheckReport> check_metadata(BlockQueue& device, const CheckOptions& options = {});

}  // namespace thinvol
