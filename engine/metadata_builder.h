// MetadataBuilder: the visitor that writes a pool's metadata anew, onto an empty device or over
// what was there.
//
// Subtrees are written once; a volume that refers to one shares its leaves, and where the volume is
// nothing but that subtree its root as well, as after a snapshot. A leaf that would be left with
// less than a third of its entries is copied into its neighbour instead, so that the format's rule
// for nodes holds whatever the subtrees were.
//
// Units       virtual blocks, data blocks, metadata blocks
// Invariants  (1) until end() the device has no superblock: what is half written is never taken for
//                 metadata; end() writes it after all else was flushed
//             (2) reference counts are those of the pointers written, in both space maps
//             (3) memory: a byte for each data block that is mapped, 16 bytes for each leaf of the
//                 volume at hand, 40 for each leaf of a subtree
// Errors      corrupt, naming the volume: mappings that overlap, are out of order or outside the
//             pool, a volume twice, numbers past the format's limits, mapped_blocks that is not the
//             number of mappings; out_of_space with the size that is needed; io_error
// Threads     one
// Source      dm-thin-metadata.c, as told in format.h
#pragma once

#include <fmt/format.h>

#include <memory>
#include <set>
#include <unordered_map>

#include "engine/bulk_blocks.h"
#include "engine/metadata_visitor.h"
#include "engine/reference_tally.h"
#include "engine/superblock.h"

namespace thinvol {

struct BuildOptions {
    PoolOverrides overrides{};
    bool count_mapped = false;  // mapped_blocks are counted, not checked
};

class MetadataBuilder : public MetadataVisitor {
public:
    explicit MetadataBuilder(BlockQueue& device, const BuildOptions& options = {});
    ~MetadataBuilder() override;

    Result<> pool(const PoolFacts& facts) override;
    Result<> begin_subtree(std::uint64_t name) override;
    Result<> end_subtree() override;
    Result<> begin_volume(const VolumeFacts& facts) override;
    Result<> end_volume() override;
    Result<> runs(std::span<const MappingRun> runs) override;
    Result<> subtree(std::uint64_t name) override;
    Result<> end() override;

    std::uint64_t volumes() const { return volumes_.size(); }
    std::uint64_t mappings() const { return mappings_; }  // of all volumes, shared ones each time
    MetadataBlocks used() const { return blocks_.used(); }

private:
    struct Leaf;
    struct Subtree;
    struct Volume {
        VolumeFacts facts;
        MetadataBlock root;
    };

    std::string where() const;
    template <class... Args>
    Error refused(fmt::format_string<Args...> text, Args&&... args) const;
    Result<> check(const MappingRun& run) const;
    Result<> emit_leaf(std::uint32_t n);
    Result<> emit_pending();
    // The leaf's entries become pending ones of this volume; in front of those there are.
    Result<> copy_leaf(const Leaf& leaf);
    Result<> place(Subtree& subtree);
    Result<> place_whole();
    // Leaves no pending entries, and no leaf with too few of them.
    Result<> settle_leaves();
    Result<MetadataBlock> root_of_leaves();
    Result<MetadataBlock> root_of(Subtree& subtree);
    Result<> drop_unused_leaves();

    struct Map {
        SpaceMapRoot root;
        std::vector<DiskIndexEntry> index;
    };
    Result<Map> write_data_map();
    Result<Map> write_metadata_map();
    Result<> write_bitmap(const std::uint8_t* counts, std::uint64_t n, Map& map);
    Result<> write_superblock(const Superblock& superblock);
    Result<> require_size() const;

    BlockQueue& device_;
    BuildOptions options_;
    BulkBlocks blocks_;
    PoolFacts facts_;
    ReferenceTally data_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Subtree>> subtrees_;
    std::vector<Volume> volumes_;
    std::set<std::uint64_t> ids_;
    std::uint64_t mappings_ = 0;

    // Of what was begun: a subtree, or the volume at the end of volumes_.
    Subtree* open_subtree_ = nullptr;
    bool open_volume_ = false;
    Subtree* whole_ = nullptr;  // all there is of the volume so far, not placed yet
    std::vector<Leaf> leaves_;
    std::uint64_t mapped_ = 0;
    std::uint64_t end_ = 0;  // behind the last virtual block
    std::uint32_t pending_ = 0;
    std::vector<std::uint64_t> keys_;
    std::vector<std::uint64_t> values_;
};

}  // namespace thinvol
