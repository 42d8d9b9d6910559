// MetadataVisitor: a pool's metadata as a stream of events, in the order of thin_dump's XML. What
// reads metadata (metadata_walk, xml_reader, repair) drives one; what writes (xml_writer,
// metadata_builder) is one.
//
//   pool ( begin_subtree runs* end_subtree )* ( begin_volume ( runs | subtree )* end_volume )* end
//
// Units       virtual blocks, data blocks; times of the snapshot clock
// Invariants  (1) the events come in that order; a subtree is named once, before it is referred to
//             (2) what the numbers are worth is for the visitor to check, not for who drives it
// Errors      what a visitor returns ends the walk
// Threads     one at a time
// Source      thin-provisioning-tools thin_dump(8), its XML
#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/base/result.h"
#include "engine/base/units.h"
#include "engine/format.h"

namespace thinvol {

// `length` virtual blocks from `origin` on are mapped to as many data blocks from `data` on.
struct MappingRun {
    std::uint64_t origin = 0;
    std::uint64_t data = 0;
    std::uint64_t length = 0;
    std::uint64_t time = 0;
    bool operator==(const MappingRun&) const = default;
};

struct PoolFacts {
    std::string uuid;  // 16 bytes at most, free text; empty in what the kernel made
    std::uint64_t time = 0;
    TransactionId transaction_id{};
    bool needs_check = false;
    std::uint32_t version = superblock_version;
    Sectors data_block_size{};
    DataBlocks data_blocks{};
    MetadataBlock
        metadata_snapshot{};  // 0: none; says that there is one, its volumes do not follow
    bool operator==(const PoolFacts&) const = default;
};

// What a user knows better than the input does.
struct PoolOverrides {
    std::optional<TransactionId> transaction_id{};
    std::optional<Sectors> data_block_size{};
    std::optional<DataBlocks> data_blocks{};
};

struct VolumeFacts {
    std::uint64_t id = 0;
    std::uint64_t mapped_blocks = 0;
    TransactionId created_in{};
    std::uint64_t creation_time = 0;
    std::uint64_t snapshotted_time = 0;
    bool operator==(const VolumeFacts&) const = default;
};

class MetadataVisitor {
public:
    virtual ~MetadataVisitor() = default;
    virtual Result<> pool(const PoolFacts& facts) = 0;
    // Mappings that several volumes share. `name` is any number, not given to another one.
    virtual Result<> begin_subtree(std::uint64_t name) = 0;
    virtual Result<> end_subtree() = 0;
    virtual Result<> begin_volume(const VolumeFacts& facts) = 0;
    virtual Result<> end_volume() = 0;
    // Of the subtree or volume that was begun. Valid only until the call returns.
    virtual Result<> runs(std::span<const MappingRun> runs) = 0;
    // All mappings of a subtree, here.
    virtual Result<> subtree(std::uint64_t name) = 0;
    virtual Result<> end() = 0;
};

}  // namespace thinvol
