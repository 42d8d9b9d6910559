#include "engine/dump.h"

#include <fmt/format.h>

#include <array>

#include "engine/metadata_space_map.h"

namespace thinvol {
namespace {

Result<Superblock> read_superblock(BlockQueue& device) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    TRY(within("superblock", read_now(device, Sector(0), bytes)));
    const Superblock sb = TRY(Superblock::decode(bytes));
    if (sb.metadata_space_map.blocks > to_metadata_blocks(device.size()).n) {
        return Error(Errc::corrupt,
                     fmt::format("the metadata device has {} blocks, its superblock says {}",
                                 to_metadata_blocks(device.size()), sb.metadata_space_map.blocks));
    }
    return sb;
}

}  // namespace

Result<> dump_raw(BlockQueue& device, const BlockSink& sink) {
    const Superblock sb = TRY(read_superblock(device));
    BlockCache cache(device, MetadataBlocks(sb.metadata_space_map.blocks), 0);
    const auto map = TRY(MetadataSpaceMap::load(cache, sb.metadata_space_map));
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    for (std::uint64_t b = 1; b <= map.size().n; ++b) {
        const MetadataBlock at(b % map.size().n);  // block 0 last
        if (map.count(at) == 0) continue;
        TRY(within(fmt::format("metadata block {}", at), read_now(device, to_sector(at), bytes)));
        TRY(sink(at, bytes));
    }
    return {};
}

}  // namespace thinvol
