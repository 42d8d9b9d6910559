// format: what lies on a pool's metadata device. This is the only place that knows offsets and
// magics.
//
// The device is an array of 4096-byte metadata blocks. Block 0 is the superblock, the only block
// that is ever rewritten in place; every other block is copied before it is changed, so that the
// tree of blocks under the superblock on disk stays whole until a new superblock replaces it:
//
//   superblock (0)
//    |- data_mapping_root ------ B-tree, thin id -> root of that volume's mapping tree
//    |                              '- B-tree, virtual block -> data block << 24 | time
//    |- device_details_root ---- B-tree, thin id -> DiskDetails
//    |- data_space_map_root ---- DiskSpaceMapRoot
//    |      bitmap_root -------- B-tree, bitmap number -> DiskIndexEntry -> bitmap block
//    |      ref_count_root ----- B-tree, data block -> u32, only for counts of 3 and more
//    |- metadata_space_map_root  DiskSpaceMapRoot
//    |      bitmap_root -------- one DiskMetadataIndex: 255 index entries -> bitmap blocks
//    |      ref_count_root ----- B-tree, metadata block -> u32, only for counts of 3 and more
//    '- held_root -------------- a copy of a superblock: the metadata snapshot, 0 for none
//
// A metadata block's reference count is the number of pointers to it, a shared block's own pointers
// counted once. A data block's is the number of leaf entries, in distinct leaves, that point to it;
// two volumes that share a leaf contribute one. Kinds of blocks are told apart by the salt of their
// checksum: CRC-32C over bytes 4..4095 with the register starting at ~0 and not inverted at the
// end, XOR salt. Every block but the free ones stores its own number, so that a misdirected write
// is found.
//
// Units       noted at each field; "sectors" are 512 bytes
// Invariants  every struct has alignment 1 and exactly the size asserted below it
// Errors      none here; decoding is in superblock.h, node.h and the space maps
// Threads     any; constants
// Source      Linux drivers/md/dm-thin-metadata.c and drivers/md/persistent-data/, as of 6.1
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/base/crc32c.h"
#include "engine/base/le.h"
#include "engine/base/units.h"

namespace thinvol {

// What a metadata block is; decides the salt and what a reader checks.
enum class BlockKind : std::uint8_t {
    superblock,
    metadata_index,
    bitmap,
    top_level_node,  // the mapping tree's upper level
    mapping_node,    // a volume's mapping tree
    details_node,
    bitmap_tree_node,
    overflow_node,
};

inline constexpr std::uint32_t superblock_salt = 160774;
inline constexpr std::uint32_t node_salt = 121107;
inline constexpr std::uint32_t bitmap_salt = 240779;
inline constexpr std::uint32_t metadata_index_salt = 160478;

inline constexpr std::uint64_t superblock_magic = 27022010;
inline constexpr std::uint32_t superblock_version = 2;
inline constexpr std::uint32_t flag_needs_check = 1;

inline constexpr std::uint32_t node_flag_internal = 1;
inline constexpr std::uint32_t node_flag_leaf = 2;

inline constexpr std::uint32_t entries_per_bitmap = (4096 - 16) * 4;  // two bits each: 16320
inline constexpr std::uint32_t max_metadata_bitmaps = 255;
inline constexpr MetadataBlocks max_metadata_blocks{std::uint64_t{entries_per_bitmap} *
                                                    max_metadata_bitmaps};

inline constexpr Sectors data_block_min{128};      // 64 KiB
inline constexpr Sectors data_block_max{2097152};  // 1 GiB
inline constexpr Sectors data_block_granule{128};
inline constexpr std::uint64_t max_data_block = (1ULL << 40) - 1;

struct DiskSpaceMapRoot {
    le64 nr_blocks;
    le64 nr_allocated;  // blocks with a count over 0; not trusted when read
    le64 bitmap_root;
    le64 ref_count_root;
};
static_assert(sizeof(DiskSpaceMapRoot) == 32);

struct DiskSuperblock {
    le32 csum;
    le32 flags;
    le64 blocknr;  // 0; in a metadata snapshot, where the copy lies
    std::array<std::uint8_t, 16> uuid;
    le64 magic;
    le32 version;
    le32 time;      // snapshot clock
    le64 trans_id;  // the volume manager's
    le64 held_root;
    DiskSpaceMapRoot data_space_map_root;
    std::array<std::uint8_t, 96> data_space_map_rest;
    DiskSpaceMapRoot metadata_space_map_root;
    std::array<std::uint8_t, 96> metadata_space_map_rest;
    le64 data_mapping_root;
    le64 device_details_root;
    le32 data_block_size;      // sectors
    le32 metadata_block_size;  // sectors, always 8
    le64 metadata_nr_blocks;   // as formatted; the space map's nr_blocks is what counts
    le32 compat_flags;
    le32 compat_ro_flags;
    le32 incompat_flags;
};
static_assert(sizeof(DiskSuperblock) == 364 &&
              sizeof(DiskSuperblock) <= 512);  // one sector: written whole
static_assert(offsetof(DiskSuperblock, magic) == 32);
static_assert(offsetof(DiskSuperblock, trans_id) == 48);
static_assert(offsetof(DiskSuperblock, data_space_map_root) == 64);
static_assert(offsetof(DiskSuperblock, metadata_space_map_root) == 192);
static_assert(offsetof(DiskSuperblock, data_mapping_root) == 320);
static_assert(offsetof(DiskSuperblock, data_block_size) == 336);
static_assert(offsetof(DiskSuperblock, incompat_flags) == 360);

struct DiskNodeHeader {
    le32 csum;
    le32 flags;
    le64 blocknr;
    le32 nr_entries;
    le32 max_entries;
    le32 value_size;  // bytes
    le32 padding;
    // then max_entries keys of 8 bytes, then max_entries values of value_size bytes
};
static_assert(sizeof(DiskNodeHeader) == 32);
static_assert(offsetof(DiskNodeHeader, nr_entries) == 16);

// How many entries a node with values of that size has room for: a multiple of three, so that three
// nodes can be split from two and two made of three.
constexpr std::uint32_t max_entries_for(std::uint32_t value_size) {
    return 3 * ((4096 - 32) / (8 + value_size) / 3);
}
static_assert(max_entries_for(8) == 252 && max_entries_for(24) == 126);
static_assert(max_entries_for(16) == 168 && max_entries_for(4) == 336);

struct DiskDetails {
    le64 mapped_blocks;
    le64 transaction_id;  // the superblock's when the volume was made
    le32 creation_time;
    le32 snapshotted_time;
};
static_assert(sizeof(DiskDetails) == 24);

struct DiskIndexEntry {
    le64 blocknr;
    le32 nr_free;           // of entries_per_bitmap, also where the map ends inside this bitmap
    le32 none_free_before;  // a hint: never higher than the first free entry
};
static_assert(sizeof(DiskIndexEntry) == 16);

struct DiskMetadataIndex {
    le32 csum;
    le32 padding;
    le64 blocknr;
    std::array<DiskIndexEntry, max_metadata_bitmaps> index;
};
static_assert(sizeof(DiskMetadataIndex) == 4096);

struct DiskBitmapHeader {
    le32 csum;
    le32 unused;
    le64 blocknr;
    // then 510 le64 words of 32 entries; within a pair of bits the lower one is the high bit of the
    // count
};
static_assert(sizeof(DiskBitmapHeader) == 16);
inline constexpr std::uint32_t words_per_bitmap = (4096 - sizeof(DiskBitmapHeader)) / 8;
inline constexpr std::uint32_t entries_per_word = 32;

using BlockBytes = std::span<std::byte, metadata_block_bytes>;
using ConstBlockBytes = std::span<const std::byte, metadata_block_bytes>;

constexpr std::uint32_t salt_of(BlockKind kind) {
    switch (kind) {
        case BlockKind::superblock: return superblock_salt;
        case BlockKind::metadata_index: return metadata_index_salt;
        case BlockKind::bitmap: return bitmap_salt;
        default: return node_salt;
    }
}

// What the first four bytes of a block of that kind must be.
inline std::uint32_t checksum_of(BlockKind kind, ConstBlockBytes block) {
    return crc32c_register(~0U, block.subspan<4>()) ^ salt_of(kind);
}

// A mapping tree's value: the data block in the upper 40 bits, the snapshot time in the lower 24.
struct Mapping {
    DataBlock block;
    SnapTime time;
    bool operator==(const Mapping&) const = default;
};
constexpr std::uint64_t pack(Mapping m) {
    ASSERT(m.block.n <= max_data_block);
    return m.block.n << 24 | m.time.n();
}
constexpr Mapping unpack(std::uint64_t v) {
    return {DataBlock(v >> 24), SnapTime::checked(v & SnapTime::max)};
}

}  // namespace thinvol
