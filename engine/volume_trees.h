// volume_trees: what the three trees of volumes store: mappings, the roots of the volumes' mapping
// trees, and their details.
//
// Units       as the fields say
// Invariants  a leaf that is copied gives what it refers to one reference more, a value that goes
//             takes it back: data blocks for mappings, mapping trees for roots
// Errors      as the space maps' and the tree's
// Threads     externally synchronised (the metadata executor)
// Source      drivers/md/dm-thin-metadata.c
#pragma once

#include "engine/data_space_map.h"

namespace thinvol {

struct MappingValue {
    using Type = Mapping;
    static constexpr std::uint32_t size = 8;
    static constexpr BlockKind kind = BlockKind::mapping_node;
    static Type decode(const std::byte* p) { return unpack(load_le<std::uint64_t>(p)); }
    static void encode(std::byte* p, const Type& v) { store_le<std::uint64_t>(p, pack(v)); }
    Result<> retain(const NodeView& leaf);
    Result<> release(const Type& v) {
        if (v.time.n() >= own_since) ++own_released;
        return data->decrement(v.block);
    }
    static bool refers_to_same(const Type& a, const Type& b) { return a.block == b.block; }
    DataSpaceMap* data;
    // For space_bounds.h: how many of the values released are not older than that.
    std::uint32_t own_since = 0;
    std::uint64_t own_released = 0;
};

struct RootValue {
    using Type = MetadataBlock;
    static constexpr std::uint32_t size = 8;
    static constexpr BlockKind kind = BlockKind::top_level_node;
    static Type decode(const std::byte* p) { return MetadataBlock(load_le<std::uint64_t>(p)); }
    static void encode(std::byte* p, Type v) { store_le<std::uint64_t>(p, v.n); }
    Result<> retain(const NodeView& leaf);
    Result<> release(Type root) { return mappings->drop(root); }
    static bool refers_to_same(Type a, Type b) { return a == b; }
    TransactionManager* tm;
    BTree<MappingValue>* mappings;
};

struct VolumeDetails {
    std::uint64_t mapped_blocks = 0;
    TransactionId created_in{};
    std::uint32_t creation_time = 0;
    std::uint32_t snapshotted_time = 0;
};

struct DetailsValue {
    using Type = VolumeDetails;
    static constexpr std::uint32_t size = sizeof(DiskDetails);
    static constexpr BlockKind kind = BlockKind::details_node;
    static Type decode(const std::byte* p);
    static void encode(std::byte* p, const Type& v);
    Result<> retain(const NodeView&) { return {}; }
    Result<> release(const Type&) { return {}; }
    static bool refers_to_same(const Type&, const Type&) { return true; }
};

}  // namespace thinvol
