#include "engine/count_repair.h"

#include <fmt/format.h>

#include "engine/thin_metadata.h"

namespace thinvol {
namespace {

using Block = std::array<std::byte, metadata_block_bytes>;

Result<> write_superblock(BlockQueue& device, const Superblock& superblock) {
    alignas(metadata_block_bytes) Block bytes;
    TRY(read_now(device, Sector(0), bytes));
    superblock.encode(bytes);
    TRY(flush_now(device));
    TRY(write_now(device, Sector(0), bytes));
    return flush_now(device);
}

Result<> repair_mapped_blocks(TransactionManager& tm, Superblock& superblock,
                              const std::vector<CheckReport::RightCount>& right) {
    BTree<DetailsValue> tree(tm, {});
    for (const auto& [id, count] : right) {
        auto details = TRY(tree.lookup(superblock.details_root, id));
        if (!details) return Error(Errc::corrupt, fmt::format("thin id {} has no details", id));
        details->mapped_blocks = count;
        superblock.details_root = TRY(tree.insert(superblock.details_root, id, *details)).root;
    }
    return {};
}

}  // namespace

Result<> repair_counts(BlockQueue& device, const CheckReport& report) {
    if (!report.superblock_valid || report.damages > 0)
        return Error(Errc::invalid_argument,
                     "there is damage besides leaks and wrong counts; a dump and a restore, or a "
                     "repair, make the metadata anew");
    Superblock superblock = report.superblock;
    const MetadataBlocks size(superblock.metadata_space_map.blocks);
    BlockCache loading(device, size, 0);
    auto map = TRY(MetadataSpaceMap::load(loading, superblock.metadata_space_map));
    // Before anything is allocated: what was counted as free may be in use.
    for (const auto& [block, count] : report.metadata_counts)
        map.correct(MetadataBlock(block), static_cast<std::uint32_t>(count));
    BlockCache cache(device, size, 0);
    TransactionManager tm(cache, std::move(map), CommitNumber(1));
    DataSpaceMap data(tm);
    TRY(data.load(superblock.data_space_map));
    for (const std::uint64_t bitmap : report.data_bitmaps) TRY(data.correct_index(bitmap));
    for (const auto& [block, count] : report.data_counts)
        TRY(data.correct(DataBlock(block), static_cast<std::uint32_t>(count)));
    TRY(repair_mapped_blocks(tm, superblock, report.mapped_blocks));
    superblock.data_space_map = TRY(data.seal());
    superblock.metadata_space_map = TRY(tm.seal_space_map());
    superblock.needs_check = false;
    for (Frame* frame : cache.seal()) TRY(write_now(device, to_sector(frame->at), frame->block()));
    return write_superblock(device, superblock);
}

Result<> clear_needs_check(BlockQueue& device, const CheckReport& report) {
    ASSERT(report.superblock_valid && report.clean());
    Superblock superblock = report.superblock;
    superblock.needs_check = false;
    return write_superblock(device, superblock);
}

}  // namespace thinvol
