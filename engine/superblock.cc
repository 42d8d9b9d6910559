#include "engine/superblock.h"

#include <fmt/format.h>

#include <cstring>

namespace thinvol {
namespace {

Error bad(std::string text) { return {Errc::corrupt, "superblock: " + std::move(text)}; }

SpaceMapRoot decode_root(const DiskSpaceMapRoot& disk) {
    return {disk.nr_blocks.get(), disk.nr_allocated.get(), MetadataBlock(disk.bitmap_root.get()),
            MetadataBlock(disk.ref_count_root.get())};
}

void encode_root(const SpaceMapRoot& root, DiskSpaceMapRoot& disk) {
    disk.nr_blocks.set(root.blocks);
    disk.nr_allocated.set(root.allocated);
    disk.bitmap_root.set(root.bitmap_root.n);
    disk.ref_count_root.set(root.ref_count_root.n);
}

Result<> check_identity(const DiskSuperblock& disk, ConstBlockBytes block) {
    const std::uint32_t expected = checksum_of(BlockKind::superblock, block);
    if (disk.csum.get() != expected && disk.magic.get() != superblock_magic) {
        return bad(fmt::format("this is no thin-pool metadata: magic {:#x}, expected {:#x}",
                               disk.magic.get(), superblock_magic));
    }
    if (disk.csum.get() != expected) {
        return bad(fmt::format("checksum {:#010x}, expected {:#010x}", disk.csum.get(), expected));
    }
    if (disk.magic.get() != superblock_magic) {
        return bad(fmt::format("magic {:#x}, expected {:#x}", disk.magic.get(), superblock_magic));
    }
    if (disk.blocknr.get() != 0) {
        return bad(fmt::format("block number {}, expected 0", disk.blocknr.get()));
    }
    if (disk.compat_ro_flags.get() != 0 || disk.incompat_flags.get() != 0) {
        return Error(
            Errc::unsupported,
            fmt::format("superblock: feature flags {:#x} and {:#x} are unknown to this program",
                        disk.compat_ro_flags.get(), disk.incompat_flags.get()));
    }
    return {};
}

Result<> check_location(const char* what, MetadataBlock at, MetadataBlocks device) {
    if (at == MetadataBlock(0) || at >= end_of(device)) {
        return bad(fmt::format("{} is metadata block {}, the device has {}", what, at, device));
    }
    return {};
}

}  // namespace

Result<> check_data_block_size(Sectors size) {
    if (size < data_block_min || size > data_block_max || size.n % data_block_granule.n != 0) {
        return Error(
            Errc::invalid_argument,
            fmt::format("data block size of {} sectors is not a multiple of {} between {} and {}",
                        size, data_block_granule, data_block_min, data_block_max));
    }
    return {};
}

Result<Superblock> Superblock::decode(ConstBlockBytes block) {
    DiskSuperblock disk;
    std::memcpy(&disk, block.data(), sizeof disk);
    TRY(check_identity(disk, block));
    Superblock sb;
    sb.needs_check = (disk.flags.get() & flag_needs_check) != 0;
    sb.version = disk.version.get();
    sb.time = disk.time.get();
    sb.transaction_id = {disk.trans_id.get()};
    sb.held_root = MetadataBlock(disk.held_root.get());
    sb.data_space_map = decode_root(disk.data_space_map_root);
    sb.metadata_space_map = decode_root(disk.metadata_space_map_root);
    sb.mapping_root = MetadataBlock(disk.data_mapping_root.get());
    sb.details_root = MetadataBlock(disk.device_details_root.get());
    sb.data_block_size = Sectors(disk.data_block_size.get());
    sb.formatted_blocks = MetadataBlocks(disk.metadata_nr_blocks.get());

    if (auto r = check_data_block_size(sb.data_block_size); !r) return bad(r.error().text);
    const MetadataBlocks device(sb.metadata_space_map.blocks);
    if (device > max_metadata_blocks) {
        return bad(
            fmt::format("{} metadata blocks, the format allows {}", device, max_metadata_blocks));
    }
    if (sb.data_space_map.blocks > max_data_block + 1) {
        return bad(fmt::format("{} data blocks, the format allows {}", sb.data_space_map.blocks,
                               max_data_block + 1));
    }
    TRY(check_location("the data bitmap tree", sb.data_space_map.bitmap_root, device));
    TRY(check_location("the data overflow tree", sb.data_space_map.ref_count_root, device));
    TRY(check_location("the metadata index", sb.metadata_space_map.bitmap_root, device));
    TRY(check_location("the metadata overflow tree", sb.metadata_space_map.ref_count_root, device));
    TRY(check_location("the mapping tree", sb.mapping_root, device));
    TRY(check_location("the details tree", sb.details_root, device));
    if (sb.held_root != MetadataBlock(0))
        TRY(check_location("the metadata snapshot", sb.held_root, device));
    return sb;
}

Result<Superblock> Superblock::read(BlockQueue& device) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    TRY(within("superblock", read_now(device, Sector(0), bytes)));
    const Superblock sb = TRY(decode(bytes));
    if (sb.metadata_space_map.blocks <= to_metadata_blocks(device.size()).n) return sb;
    return bad(fmt::format("it has {} metadata blocks, the device {}", sb.metadata_space_map.blocks,
                           to_metadata_blocks(device.size())));
}

void Superblock::encode(BlockBytes block) const {
    DiskSuperblock disk;
    std::memcpy(&disk, block.data(), sizeof disk);
    const std::uint32_t other_flags = disk.flags.get() & ~flag_needs_check;
    disk.flags.set(other_flags | (needs_check ? flag_needs_check : 0));
    disk.blocknr.set(0);
    disk.magic.set(superblock_magic);
    disk.version.set(version);
    disk.time.set(time);
    disk.trans_id.set(transaction_id.n);
    disk.held_root.set(held_root.n);
    encode_root(data_space_map, disk.data_space_map_root);
    encode_root(metadata_space_map, disk.metadata_space_map_root);
    disk.data_mapping_root.set(mapping_root.n);
    disk.device_details_root.set(details_root.n);
    disk.data_block_size.set(static_cast<std::uint32_t>(data_block_size.n));
    disk.metadata_block_size.set(metadata_block_bytes / sector_bytes);
    disk.metadata_nr_blocks.set(formatted_blocks.n);
    std::memcpy(block.data(), &disk, sizeof disk);
    disk.csum.set(checksum_of(BlockKind::superblock, block));
    std::memcpy(block.data(), &disk, sizeof disk);
}

}  // namespace thinvol
