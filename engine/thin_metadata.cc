#include "engine/thin_metadata.h"

#include <fmt/format.h>

namespace thinvol {
namespace {

constexpr CommitNumber first_commit{1};

std::optional<ThinMetadata::Found> found(const ThinDevice& device, const Mapping& mapping) {
    return ThinMetadata::Found{mapping.block, device.details.snapshotted_time > mapping.time.n()};
}

}  // namespace

ThinMetadata::ThinMetadata(BlockQueue& device, MetadataBlocks size, MetadataSpaceMap space_map,
                           const MetadataOptions& options, std::unique_ptr<MappingCache> cache)
    : cache_(device, size, options.cache_blocks),
      tm_(cache_, std::move(space_map), first_commit),
      data_(tm_),
      mappings_(tm_, MappingValue{&data_}),
      cached_mappings_(cache ? std::move(cache)
                             : std::make_unique<MappingCache>(options.mapping_cache)),
      roots_(tm_, RootValue{&tm_, &mappings_}),
      details_(tm_, {}) {}

// The order of the first blocks is the kernel's, so that a new pool's image is the kernel's byte
// for byte.
Result<std::unique_ptr<ThinMetadata>> ThinMetadata::format(BlockQueue& device,
                                                           Sectors data_block_size,
                                                           DataBlocks data_size,
                                                           const MetadataOptions& options) {
    TRY(check_data_block_size(data_block_size));
    const MetadataBlocks size = std::min(to_metadata_blocks(device.size()), max_metadata_blocks);
    if (size < MetadataBlocks(128)) {
        return Error(
            Errc::invalid_argument,
            fmt::format("a metadata device of {} blocks is too small, the least is 128", size));
    }
    std::unique_ptr<ThinMetadata> md(
        new ThinMetadata(device, size, MetadataSpaceMap::empty(size), options, nullptr));
    MetadataSpaceMap& map = md->tm_.space_map();
    map.set_index_at(TRY(md->tm_.create(BlockKind::metadata_index))->at);
    map.set_overflow_root(
        TRY(md->tm_.create_node(BlockKind::overflow_node, OverflowValue::size))->at);
    for (std::uint32_t i = 0; i < map.bitmaps(); ++i)
        map.set_bitmap_at(i, TRY(md->tm_.create(BlockKind::bitmap))->at);
    TRY(md->data_.format());
    md->superblock_.mapping_root = TRY(md->roots_.create());
    md->superblock_.details_root = TRY(md->details_.create());
    md->superblock_.data_block_size = data_block_size;
    md->superblock_.formatted_blocks = size;
    md->changed_ = true;
    if (data_size > DataBlocks(0)) TRY(md->grow_data(data_size));
    return md;
}

Result<std::unique_ptr<ThinMetadata>> ThinMetadata::open(BlockQueue& device,
                                                         const MetadataOptions& options,
                                                         std::unique_ptr<MappingCache> cache) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    if (device.size() < to_sectors(Bytes(metadata_block_bytes)))
        return Error(Errc::corrupt, "the metadata device is empty");
    TRY(within("superblock", read_now(device, Sector(0), bytes)));
    const Superblock sb = TRY(Superblock::decode(bytes));
    const MetadataBlocks size(sb.metadata_space_map.blocks);
    if (size > to_metadata_blocks(device.size())) {
        return Error(Errc::corrupt,
                     fmt::format("the metadata device has {} blocks, its superblock says {}",
                                 to_metadata_blocks(device.size()), size));
    }
    // Loaded with a cache of its own, which is forgotten: bitmaps are kept as counts.
    BlockCache loading(device, size, 0);
    auto map = TRY(MetadataSpaceMap::load(loading, sb.metadata_space_map));
    std::unique_ptr<ThinMetadata> md(
        new ThinMetadata(device, size, std::move(map), options, std::move(cache)));
    md->superblock_bytes_ = bytes;
    md->durable_superblock_ = bytes;
    TRY(md->load(sb));
    return md;
}

Result<> ThinMetadata::load(const Superblock& superblock) {
    superblock_ = superblock;
    return data_.load(superblock.data_space_map);
}

// --- volumes -------------------------------------------------------------------------------------

Result<bool> ThinMetadata::exists(ThinId id) {
    const auto found = TRY(details_.lookup(superblock_.details_root, id.n()));
    return found.has_value();
}

Result<ThinDevice*> ThinMetadata::device(ThinId id) {
    if (const auto it = devices_.find(id.n()); it != devices_.end()) return it->second.get();
    const auto details = TRY(details_.lookup(superblock_.details_root, id.n()));
    if (!details) return Error(Errc::not_found, fmt::format("thin id {} does not exist", id));
    const auto root = TRY(roots_.lookup(superblock_.mapping_root, id.n()));
    if (!root)
        return Error(Errc::corrupt, fmt::format("thin id {} has details but no mapping tree", id));
    auto device = std::make_unique<ThinDevice>(ThinDevice{id, *root, *details});
    if (const auto it = bounded_.find(id); it != bounded_.end()) device->bounded = &it->second;
    return devices_.emplace(id.n(), std::move(device)).first->second.get();
}

Result<std::vector<ThinId>> ThinMetadata::ids() {
    std::vector<ThinId> found;
    TRY(roots_.for_range(superblock_.mapping_root, 0, ~0ULL, [&](std::uint64_t id, MetadataBlock) {
        if (id <= ThinId::max) found.push_back(ThinId::checked(id));
        return true;
    }));
    return found;
}

void ThinMetadata::touch(ThinDevice& device) {
    if (!std::exchange(device.changed, true)) ++changed_devices_;
    device.last_change = tm_.open();
    changed_ = true;
}

Result<> ThinMetadata::create_thin(ThinId id) {
    if (TRY(exists(id))) return Error(Errc::exists, fmt::format("thin id {} exists already", id));
    TRY(room({.provisioning = true}));
    const MetadataBlock root = TRY(mappings_.create());
    superblock_.mapping_root = TRY(roots_.insert(superblock_.mapping_root, id.n(), root)).root;
    const VolumeDetails details{0, superblock_.transaction_id, superblock_.time, superblock_.time};
    superblock_.details_root = TRY(details_.insert(superblock_.details_root, id.n(), details)).root;
    touch(*TRY(device(id)));
    return {};
}

Result<> ThinMetadata::create_snapshot(ThinId id, ThinId origin) {
    if (TRY(exists(id))) return Error(Errc::exists, fmt::format("thin id {} exists already", id));
    ThinDevice* from = TRY(device(origin));
    if (superblock_.time >= SnapTime::max) {
        return Error(
            Errc::unsupported,
            fmt::format("the pool's snapshot clock is at its end ({}): no more snapshots can be "
                        "made; dump and restore the metadata to a new pool",
                        superblock_.time));
    }
    TRY(room({.provisioning = true}));
    TRY(tm_.increment(from->root));
    superblock_.mapping_root =
        TRY(roots_.insert(superblock_.mapping_root, id.n(), from->root)).root;
    ++superblock_.time;
    from->details.snapshotted_time = superblock_.time;
    const VolumeDetails details{from->details.mapped_blocks, superblock_.transaction_id,
                                superblock_.time, superblock_.time};
    superblock_.details_root = TRY(details_.insert(superblock_.details_root, id.n(), details)).root;
    touch(*from);
    touch(*TRY(device(id)));
    return {};
}

Result<> ThinMetadata::remove(ThinId id) {
    const ThinDevice* gone = TRY(device(id));
    ASSERT(gone->opened == 0);
    TRY(room_for_removing(id));
    superblock_.details_root = TRY(details_.remove(superblock_.details_root, id.n())).root;
    superblock_.mapping_root = TRY(roots_.remove(superblock_.mapping_root, id.n())).root;
    cached_mappings_->forget(id);
    if (gone->changed) --changed_devices_;
    devices_.erase(id.n());
    bounded_.erase(id);
    changed_ = true;
    return {};
}

// --- mappings ------------------------------------------------------------------------------------

Result<> ThinMetadata::check_mapping(const ThinDevice& device, VirtualBlock at,
                                     const Mapping& mapping) const {
    if (mapping.block < end_of(data_.size())) return {};
    return Error(Errc::corrupt,
                 fmt::format("thin id {} maps block {} to data block {}, the pool has {}",
                             device.id, at, mapping.block, data_.size()));
}

Result<std::optional<ThinMetadata::Found>> ThinMetadata::lookup(const ThinDevice& device,
                                                                VirtualBlock at) {
    const MappingCache::Known known = cached_mappings_->find(device.id, at);
    switch (known.state) {
        case MappingCache::Known::State::unknown: break;
        case MappingCache::Known::State::unmapped: return std::optional<Found>();
        case MappingCache::Known::State::mapped: return found(device, known.mapping);
    }
    const LeafView leaf = TRY(mappings_.leaf_for(device.root, at.n));
    cached_mappings_->learn(device.id, at, leaf, end_of(data_.size()));
    const std::uint32_t i = leaf.node.lower_bound(at.n);
    if (!leaf.node.has(i, at.n)) return std::optional<Found>();
    const Mapping mapping = MappingValue::decode(leaf.node.value(i));
    TRY(check_mapping(device, at, mapping));
    return found(device, mapping);
}

Result<> ThinMetadata::for_mappings(const ThinDevice& device, VirtualBlock begin, VirtualBlock end,
                                    const std::function<bool(VirtualBlock, const Found&)>& visit) {
    Result<> sound;
    TRY(mappings_.for_range(device.root, begin.n, end.n, [&](std::uint64_t key, const Mapping& m) {
        const VirtualBlock at(key);
        sound = check_mapping(device, at, m);
        return sound && visit(at, *found(device, m));
    }));
    return sound;
}

// A volume's tree changes under the volume tree's leaf: that leaf's path is shadowed first, because
// if it is shared (by a metadata snapshot) that raises the count of the volume's root, which then
// must be copied too.
template <class Change>
Result<> ThinMetadata::change_mappings(ThinDevice& device, Change&& change) {
    if (tm_.in_place(device.root)) {
        const MetadataBlock root = TRY(change(device.root));
        ASSERT(root == device.root);
    } else {
        const auto slot = TRY(roots_.shadow_path(superblock_.mapping_root, device.id.n()));
        superblock_.mapping_root = slot.root;
        if (slot.value == nullptr) {
            return Error(Errc::corrupt, fmt::format("thin id {} has no mapping tree", device.id));
        }
        device.root = TRY(change(device.root));
        RootValue::encode(slot.value, device.root);
    }
    touch(device);
    return {};
}

Result<> ThinMetadata::insert(ThinDevice& device, VirtualBlock at, DataBlock block) {
    if (superblock_.time > SnapTime::max) {
        return Error(Errc::unsupported,
                     fmt::format("the pool's snapshot clock is {}, past its end of {}: restore the "
                                 "metadata from a dump first",
                                 superblock_.time, SnapTime::max));
    }
    TRY(room({.provisioning = true}));
    const Mapping mapping{block, SnapTime::checked(superblock_.time)};
    bool is_new = false;
    bool replaces_own = false;
    TRY(data_.increment(block));
    TRY(change_mappings(device, [&](MetadataBlock root) -> Result<MetadataBlock> {
        const auto inserted = TRY(mappings_.insert(root, at.n, mapping));
        is_new = !inserted.replaced.has_value();
        replaces_own = !is_new && inserted.replaced->time.n() >= device.details.creation_time;
        return inserted.root;
    }));
    device.details.mapped_blocks += is_new ? 1 : 0;
    if (device.bounded != nullptr) {
        --device.bounded->filling;
        device.bounded->own += replaces_own ? 0 : 1;
    }
    cached_mappings_->map(device.id, at, mapping);
    return {};
}

Result<VirtualBlock> ThinMetadata::unmap(ThinDevice& device, VirtualBlock begin, VirtualBlock end,
                                         std::uint64_t limit) {
    constexpr std::uint64_t at_once = max_entries_for(8);  // what room() counts on
    bool any = false;
    auto first = TRY(mappings_.next(device.root, begin.n));
    while (limit > 0 && first && first->key < end.n) {
        if (auto room_left = room({.provisioning = false, .mappings = 2 * at_once}); !room_left) {
            if (any && room_left.error().code == Errc::out_of_space) return begin;
            return std::move(room_left).error();
        }
        BTree<MappingValue>::Removed removed{};
        mappings_.value().own_since = device.details.creation_time;
        mappings_.value().own_released = 0;
        TRY(change_mappings(device, [&](MetadataBlock root) -> Result<MetadataBlock> {
            removed =
                TRY(mappings_.remove_range(root, first->key, end.n, std::min(limit, at_once)));
            return removed.root;
        }));
        if (removed.entries > device.details.mapped_blocks) {
            return Error(Errc::corrupt,
                         fmt::format("thin id {} has more mappings than the {} its details say",
                                     device.id, device.details.mapped_blocks));
        }
        device.details.mapped_blocks -= removed.entries;
        if (device.bounded != nullptr) device.bounded->own -= mappings_.value().own_released;
        limit -= removed.entries;
        first = TRY(mappings_.next(device.root, removed.next));
        const VirtualBlock reached(first ? std::min(first->key, end.n) : end.n);
        cached_mappings_->unmap(device.id, begin, reached);
        begin = reached;
        any = true;
    }
    return first && first->key < end.n ? begin : end;
}

Result<std::optional<VirtualBlock>> ThinMetadata::highest_mapped(const ThinDevice& device) {
    const auto last = TRY(mappings_.last(device.root));
    if (!last) return std::optional<VirtualBlock>();
    return std::optional(VirtualBlock(last->key));
}

// --- space of single volumes ---------------------------------------------------------------------

Result<std::uint64_t> ThinMetadata::count_own(const ThinDevice& device) {
    std::uint64_t own = 0;
    TRY(mappings_.for_range(device.root, 0, ~0ULL, [&](std::uint64_t, const Mapping& m) {
        own += m.time.n() >= device.details.creation_time ? 1 : 0;
        return true;
    }));
    return own;
}

Result<> ThinMetadata::set_bounds(ThinId id, const SpaceBounds& bounds) {
    ThinDevice* volume = TRY(device(id));
    if (bounds == SpaceBounds()) {
        volume->bounded = nullptr;
        bounded_.erase(id);
        return {};
    }
    if (volume->bounded == nullptr) {
        const std::uint64_t own = TRY(count_own(*volume));
        volume->bounded = &bounded_[id];
        volume->bounded->own = own;
    }
    volume->bounded->bounds = bounds;
    return {};
}

std::map<ThinId, SpaceBounds> ThinMetadata::bounds() const {
    std::map<ThinId, SpaceBounds> all;
    for (const auto& [id, space] : bounded_) all.emplace(id, space.bounds);
    return all;
}

Result<> ThinMetadata::within_bounds(const ThinDevice& device) const {
    const BoundedSpace* space = device.bounded;
    if (space != nullptr && space->bounds.limit > DataBlocks(0) &&
        space->own + space->filling >= space->bounds.limit.n) {
        return Error(Errc::out_of_space,
                     fmt::format("thin id {} has {} blocks of its own, its limit is {}", device.id,
                                 space->own, space->bounds.limit));
    }
    std::uint64_t promised = 0;  // to others
    for (const auto& [id, other] : bounded_) {
        if (id != device.id) promised += other.promised();
    }
    if (promised == 0 || data_.free().n > promised) return {};
    return Error(Errc::out_of_space,
                 fmt::format("{} data blocks are free, and {} reserved for other volumes",
                             data_.free(), promised));
}

Result<DataBlocks> ThinMetadata::own_blocks(ThinId id) const {
    const auto it = bounded_.find(id);
    if (it == bounded_.end())
        return Error(Errc::not_found, fmt::format("thin id {} has no bounds set", id));
    return DataBlocks(it->second.own);
}

// --- the pool ------------------------------------------------------------------------------------

Result<> ThinMetadata::set_transaction_id(TransactionId from, TransactionId to) {
    if (superblock_.transaction_id != from) {
        return Error(Errc::invalid_argument, fmt::format("transaction id is {}, expected {}",
                                                         superblock_.transaction_id, from));
    }
    superblock_.transaction_id = to;
    changed_ = true;
    return {};
}

Result<> ThinMetadata::grow_data(DataBlocks size) {
    if (size <= data_.size()) return {};
    if (size.n > max_data_block + 1) {
        return Error(Errc::invalid_argument,
                     fmt::format("{} data blocks, the format allows {}", size, max_data_block + 1));
    }
    TRY(room_to_grow_data(size, MetadataBlocks(0)));
    TRY(data_.grow(size));
    changed_ = true;
    return {};
}

Result<> ThinMetadata::room_to_grow_data(DataBlocks size, MetadataBlocks added) const {
    if (size <= data_.size()) return {};
    const std::uint64_t bitmaps =
        divide_up(size.n, entries_per_bitmap) - divide_up(data_.size().n, entries_per_bitmap);
    const std::uint64_t needed =
        bitmaps + bitmaps / 28 + 8 + room_to_seal() + divide_up(added.n, entries_per_bitmap);
    const std::uint64_t available = tm_.space_map().allocatable().n + added.n;
    if (available >= needed) return {};
    return Error(
        Errc::out_of_space,
        fmt::format("growing the pool to {} data blocks needs {} metadata blocks, {} are free: "
                    "extend the metadata first",
                    size, needed, available));
}

Result<> ThinMetadata::grow_metadata(MetadataBlocks size) {
    size = std::min(size, max_metadata_blocks);
    if (size <= tm_.space_map().size()) return {};
    cache_.grow(size);
    tm_.space_map().grow(size);
    changed_ = true;
    return {};
}

Result<> ThinMetadata::reserve_metadata_snapshot() {
    ASSERT(!changed_);
    if (superblock_.held_root != MetadataBlock(0)) {
        return Error(Errc::busy, fmt::format("there is a metadata snapshot already, at block {}",
                                             superblock_.held_root));
    }
    TRY(room({.provisioning = true}));
    Frame* copy = TRY(tm_.create(BlockKind::superblock));
    DiskSuperblock disk;
    std::memcpy(&disk, superblock_bytes_.data(), sizeof disk);
    disk.blocknr.set(copy->at.n);
    disk.held_root.set(0);
    disk.data_space_map_root = {};
    disk.data_space_map_rest = {};
    disk.metadata_space_map_root = {};
    disk.metadata_space_map_rest = {};
    std::memcpy(copy->bytes, &disk, sizeof disk);
    TRY(tm_.increment(superblock_.mapping_root));
    TRY(tm_.increment(superblock_.details_root));
    superblock_.held_root = copy->at;
    changed_ = true;
    return {};
}

Result<> ThinMetadata::release_metadata_snapshot() {
    const MetadataBlock held = superblock_.held_root;
    if (held == MetadataBlock(0))
        return Error(Errc::invalid_argument, "there is no metadata snapshot to release");
    TRY(room({.provisioning = false, .mappings = data_.used().n}));
    const Frame* copy = TRY(tm_.read(held, BlockKind::superblock));
    DiskSuperblock disk;
    std::memcpy(&disk, copy->bytes, sizeof disk);
    TRY(roots_.drop(MetadataBlock(disk.data_mapping_root.get())));
    TRY(details_.drop(MetadataBlock(disk.device_details_root.get())));
    TRY(tm_.decrement(held));
    superblock_.held_root = MetadataBlock(0);
    changed_ = true;
    return {};
}

// What sealing may allocate, given what the open transaction changed so far: a path in the details
// tree for each changed volume, in the bitmap tree for each changed bitmap, all metadata bitmaps,
// index, overflow tree.
std::uint64_t ThinMetadata::room_to_seal() const {
    constexpr std::uint64_t path = 4;
    return path * (changed_devices_ + 1) +
           std::min(path * data_.dirty_bitmaps(),
                    divide_up(data_.size().n, entries_per_bitmap) / 50 + path) +
           tm_.space_map().bitmaps() + 2 * path;
}

// What one insert or one step of a removal may allocate: the volume's path with siblings and
// splits, the paths above it, and, for each mapping whose count changes, a data bitmap and overflow
// nodes.
Result<std::uint64_t> ThinMetadata::room_to_change(std::uint64_t mappings) {
    constexpr std::uint64_t paths = 32;
    Frame* overflow = TRY(tm_.read(data_.overflow_root(), BlockKind::overflow_node));
    const NodeView root(overflow->bytes);
    const std::uint64_t overflow_nodes =
        root.is_leaf() ? 4 : std::min<std::uint64_t>(3 * mappings, 4ULL * root.entries());
    return paths + std::min<std::uint64_t>(mappings, data_.bitmaps_not_in_place()) + overflow_nodes;
}

Result<> ThinMetadata::room_for_new_volumes(std::uint64_t changes) {
    return room({.provisioning = true, .new_volumes = true, .changes = changes});
}

Result<> ThinMetadata::room_for_removing(ThinId id, std::uint64_t changes) {
    return room({.provisioning = false,
                 .changes = changes,
                 .mappings = TRY(device(id))->details.mapped_blocks});
}

Result<> ThinMetadata::room(const Need& need) {
    const MetadataSpaceMap& map = tm_.space_map();
    const std::uint64_t reserve =
        !need.provisioning ? 0
                           : metadata_reserve(map.size()).n +
                                 (need.new_volumes ? metadata_reserve(map.size()).n / 4 : 0);
    constexpr std::uint64_t always_enough = 8192;
    if (need.provisioning && map.allocatable().n >= always_enough + reserve &&
        changed_devices_ + need.changes < 256)
        return {};
    const std::uint64_t wanted =
        reserve + need.changes * TRY(room_to_change(need.mappings)) + room_to_seal();
    if (map.allocatable().n >= wanted) return {};
    return Error(
        Errc::out_of_space,
        fmt::format("the pool's metadata is full: {} of {} metadata blocks are free, {} of them "
                    "after a commit, and {} are needed; extend the pool's metadata",
                    map.free(), map.size(), map.free() - map.allocatable(), wanted));
}

// --- commits -------------------------------------------------------------------------------------

Result<SealedCommit> ThinMetadata::seal() {
    for (auto& [id, device] : devices_) {
        if (!device->changed) continue;
        superblock_.details_root =
            TRY(details_.insert(superblock_.details_root, id, device->details)).root;
        device->changed = false;
    }
    changed_devices_ = 0;
    superblock_.data_space_map = TRY(data_.seal());
    superblock_.metadata_space_map = TRY(tm_.seal_space_map());
    superblock_.encode(superblock_bytes_);
    SealedCommit commit{tm_.open(), cache_.seal(), superblock_bytes_};
    tm_.begin(tm_.open() + Count<CommitUnit>(1));
    changed_ = false;
    return commit;
}

std::vector<DataBlock> ThinMetadata::settle(const SealedCommit& commit) {
    ASSERT(commit.number > durable_);
    cache_.settle(commit.frames);
    durable_ = commit.number;
    durable_superblock_ = commit.superblock;
    return settle_after_unpin();
}

std::vector<DataBlock> ThinMetadata::settle_after_unpin() {
    tm_.space_map().settle(durable_, oldest_pin());
    return data_.settle(durable_, oldest_pin());
}

CommitNumber ThinMetadata::pin() {
    ++pins_[durable_];
    return durable_;
}

void ThinMetadata::unpin(CommitNumber pinned) {
    const auto it = pins_.find(pinned);
    ASSERT(it != pins_.end());
    if (--it->second == 0) pins_.erase(it);
}

void ThinMetadata::trim() {
    cache_.trim();
    constexpr std::size_t idle_volumes = 1024;
    if (devices_.size() <= idle_volumes) return;
    std::erase_if(devices_,
                  [](const auto& d) { return d.second->opened == 0 && !d.second->changed; });
}

}  // namespace thinvol
