// Superblock: metadata block 0 decoded, and the checks that let it be believed.
//
// Units       noted at each field
// Invariants  (1) encode() of a decoded superblock keeps every byte that this program does not
//                 interpret
//             (2) a decoded superblock has block numbers below its own device size
// Errors      corrupt (checksum, magic, block number, sizes), unsupported (feature flags we do not
//             know)
// Threads     any; values
// Source      dm-thin-metadata.c, struct thin_disk_superblock
#pragma once

#include <array>

#include "engine/base/result.h"
#include "engine/block_queue.h"
#include "engine/format.h"

namespace thinvol {

struct SpaceMapRoot {
    std::uint64_t blocks = 0;
    std::uint64_t allocated = 0;
    MetadataBlock bitmap_root{};
    MetadataBlock ref_count_root{};
};

struct Superblock {
    bool needs_check = false;
    std::uint32_t version = superblock_version;
    std::uint32_t time =
        0;  // snapshot clock; may be past SnapTime::max in an image we did not write
    TransactionId transaction_id{};
    MetadataBlock held_root{};  // 0: none
    SpaceMapRoot data_space_map{};
    SpaceMapRoot metadata_space_map{};
    MetadataBlock mapping_root{};
    MetadataBlock details_root{};
    Sectors data_block_size{};
    MetadataBlocks formatted_blocks{};  // informational; the space map's size is authoritative

    // Checks checksum, own number, magic, flags, block size and that roots lie inside the device.
    static Result<Superblock> decode(ConstBlockBytes block);
    // The one on the device, which is large enough for it.
    static Result<Superblock> read(BlockQueue& device);
    // Writes the fields into `block` and its checksum; other bytes stay as they are.
    void encode(BlockBytes block) const;
};

// Block size: 64 KiB to 1 GiB in steps of 64 KiB.
Result<> check_data_block_size(Sectors size);

}  // namespace thinvol
