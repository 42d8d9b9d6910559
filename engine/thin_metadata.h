// ThinMetadata: a pool's metadata as volumes and mappings, one open transaction at a time.
//
// Units       virtual blocks of a volume, data blocks of the pool
// Invariants  (1) the keys of the volume tree and of the details tree are the same
//             (2) mapped_blocks of a volume is the number of its mappings, also between commits
//             (3) seal() changes nothing that was sealed before; what follows belongs to the next
//                 commit
//             (4) every change is refused before it begins where the metadata device might lack
//                 room for it
// Errors      not_found, exists, out_of_space, corrupt, io_error, unsupported (clock at its end).
//             After corrupt or io_error from a change the object may only be destroyed (C8).
// Threads     externally synchronised (the metadata executor)
// Source      drivers/md/dm-thin-metadata.h
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "engine/mapping_cache.h"
#include "engine/space_bounds.h"
#include "engine/superblock.h"
#include "engine/volume_trees.h"

namespace thinvol {

// A volume as the open transaction sees it.
struct ThinDevice {
    ThinId id;
    MetadataBlock root;
    VolumeDetails details;
    bool changed = false;             // details differ from the details tree
    CommitNumber last_change{};       // the commit that will hold, or holds, its latest change
    std::uint32_t opened = 0;         // by volumes in use; keeps the object in memory
    BoundedSpace* bounded = nullptr;  // null: no bounds are set
};

struct MetadataOptions {
    std::size_t cache_blocks = 16384;  // clean metadata blocks kept in memory
    Bytes mapping_cache{32 << 20};     // for mappings: 8 bytes a block
};

// A transaction on its way to the device.
struct SealedCommit {
    CommitNumber number;
    std::vector<Frame*> frames;  // in block order
    std::array<std::byte, metadata_block_bytes> superblock;
};

class ThinMetadata {
public:
    // New metadata, all of it in the open transaction: nothing is written before the first commit.
    static Result<std::unique_ptr<ThinMetadata>> format(BlockQueue& device, Sectors data_block_size,
                                                        DataBlocks data_size,
                                                        const MetadataOptions& options);
    // `cache`: one that is empty, in place of a new one.
    static Result<std::unique_ptr<ThinMetadata>> open(
        BlockQueue& device, const MetadataOptions& options,
        std::unique_ptr<MappingCache> cache = nullptr);

    // --- volumes; each is all or nothing -----------------------------------------------------
    Result<> create_thin(ThinId id);
    // Constant cost, whatever is mapped. The origin must have no request in flight (C7).
    Result<> create_snapshot(ThinId id, ThinId origin);
    Result<> remove(ThinId id);
    Result<bool> exists(ThinId id);
    // The volume, loaded when needed. Stays valid while opened or changed.
    Result<ThinDevice*> device(ThinId id);
    Result<std::vector<ThinId>> ids();

    // --- mappings ----------------------------------------------------------------------------
    struct Found {
        DataBlock block;
        bool shared;  // dm-thin's rule: the mapping is older than the volume's last snapshot
    };
    Result<std::optional<Found>> lookup(const ThinDevice& device, VirtualBlock at);
    // Calls visit for the mappings in [begin, end), in order, until it returns false.
    Result<> for_mappings(const ThinDevice& device, VirtualBlock begin, VirtualBlock end,
                          const std::function<bool(VirtualBlock, const Found&)>& visit);
    // Other threads may ask it, within its own rules, for as long as this object lives.
    const MappingCache& mapping_cache() const { return *cached_mappings_; }
    // For open(), after which this object may only be destroyed.
    std::unique_ptr<MappingCache> take_mapping_cache() { return std::move(cached_mappings_); }
    // Maps a reserved block; what was mapped there before loses a reference.
    Result<> insert(ThinDevice& device, VirtualBlock at, DataBlock block);
    // Unmaps [begin, end), about `limit` mappings at most, fewer where the metadata device has no
    // room for more before the next commit. Returns where to go on: `end` when done. out_of_space:
    // not even one.
    Result<VirtualBlock> unmap(ThinDevice& device, VirtualBlock begin, VirtualBlock end,
                               std::uint64_t limit);
    Result<std::optional<VirtualBlock>> highest_mapped(const ThinDevice& device);

    Result<DataBlock> reserve() { return data_.reserve(); }
    void unreserve(DataBlock b) { data_.unreserve(b); }

    // --- space of single volumes, see space_bounds.h
    Result<> set_bounds(ThinId id, const SpaceBounds& bounds);
    bool any_bounds() const { return !bounded_.empty(); }
    std::map<ThinId, SpaceBounds> bounds() const;
    Result<> within_bounds(const ThinDevice& device) const;
    Result<DataBlocks> own_blocks(ThinId id) const;
    void hand_back(DataBlock b) { data_.hand_back(b); }

    // --- the pool ----------------------------------------------------------------------------
    Result<> set_transaction_id(TransactionId from, TransactionId to);
    void set_needs_check() { superblock_.needs_check = true; }
    Result<> grow_data(DataBlocks size);
    // Whether grow_data() will find room, once the metadata device has `added` blocks more.
    Result<> room_to_grow_data(DataBlocks size, MetadataBlocks added) const;
    Result<> grow_metadata(MetadataBlocks size);
    // The held root: a copy of the superblock whose trees stay. Only while nothing is changed, so
    // that the copy is of what is committed, or being committed.
    Result<> reserve_metadata_snapshot();
    Result<> release_metadata_snapshot();
    const Superblock& superblock() const { return superblock_; }
    const DataSpaceMap& data() const { return data_; }
    const MetadataSpaceMap& metadata() const { return tm_.space_map(); }
    // Whether that many changes that provision have room until they are durable (4).
    Result<> room_for_provisioning(std::uint64_t changes = 1) {
        return room({.provisioning = true, .changes = changes});
    }
    // As that, with more kept back: new volumes are refused before writes are.
    Result<> room_for_new_volumes(std::uint64_t changes);
    Result<> room_for_removing(ThinId id, std::uint64_t changes = 1);
    // Whether blocks that the open transaction freed may come back with its commit.
    bool commit_brings_space() const {
        return changed_ && (data_.coming_back() > DataBlocks(0) ||
                            tm_.space_map().free() > tm_.space_map().allocatable());
    }

    // --- commits -----------------------------------------------------------------------------
    bool changed() const { return changed_; }
    CommitNumber open_commit() const { return tm_.open(); }
    CommitNumber durable_commit() const { return durable_; }
    // Ends the open transaction; a new one begins (3).
    Result<SealedCommit> seal();
    // The sealed commit is durable. Returns data blocks to be handed back once no request can still
    // reach them (C6).
    std::vector<DataBlock> settle(const SealedCommit& commit);

    // Keeps all blocks of the durable commit from being reused (C9), until unpin().
    CommitNumber pin();
    void unpin(CommitNumber pinned);
    std::vector<DataBlock> settle_after_unpin();
    const std::array<std::byte, metadata_block_bytes>& durable_superblock() const {
        return durable_superblock_;
    }

    // Forgets cold blocks and idle volumes; no pointer from device() survives unless it is opened.
    void trim();
    std::size_t open_frames() const { return cache_.open_frames(); }

private:
    ThinMetadata(BlockQueue& device, MetadataBlocks size, MetadataSpaceMap space_map,
                 const MetadataOptions& options, std::unique_ptr<MappingCache> cache);
    Result<> load(const Superblock& superblock);
    struct Need {
        bool provisioning;
        bool new_volumes = false;
        std::uint64_t changes = 1;
        std::uint64_t mappings =
            max_entries_for(8);  // whose counts may change: those of a leaf that is copied
    };
    Result<> room(const Need& need);
    std::uint64_t room_to_seal() const;
    Result<std::uint64_t> room_to_change(std::uint64_t mappings);
    Result<std::uint64_t> count_own(const ThinDevice& device);
    void touch(ThinDevice& device);
    Result<> check_mapping(const ThinDevice& device, VirtualBlock at, const Mapping& mapping) const;
    template <class Change>
    Result<> change_mappings(ThinDevice& device, Change&& change);
    CommitNumber oldest_pin() const { return pins_.empty() ? durable_ : pins_.begin()->first; }

    BlockCache cache_;
    TransactionManager tm_;
    DataSpaceMap data_;
    BTree<MappingValue> mappings_;
    std::unique_ptr<MappingCache> cached_mappings_;
    BTree<RootValue> roots_;
    BTree<DetailsValue> details_;
    Superblock superblock_;
    std::array<std::byte, metadata_block_bytes> superblock_bytes_{};
    std::array<std::byte, metadata_block_bytes> durable_superblock_{};
    CommitNumber durable_{};
    std::map<CommitNumber, std::uint32_t> pins_;
    std::unordered_map<std::uint32_t, std::unique_ptr<ThinDevice>> devices_;
    std::map<ThinId, BoundedSpace> bounded_;
    std::uint64_t changed_devices_ = 0;
    bool changed_ = false;
};

}  // namespace thinvol
