#include "engine/volume_list.h"

#include <fmt/format.h>

namespace thinvol {

Result<std::vector<ListedVolume>> list_volumes(BlockQueue& device, const Superblock& superblock) {
    BlockCache cache(device, MetadataBlocks(superblock.metadata_space_map.blocks), 1024);
    TransactionManager tm(cache, MetadataSpaceMap::empty(MetadataBlocks(1)), CommitNumber(0));
    BTree<RootValue> roots(tm, RootValue{nullptr, nullptr});
    BTree<DetailsValue> details(tm, {});
    std::vector<ListedVolume> volumes;
    Result<> outcome;
    TRY(roots.for_range(superblock.mapping_root, 0, ~0ULL,
                        [&](std::uint64_t key, MetadataBlock root) {
                            auto id = ThinId::from(key);
                            if (id) volumes.push_back({*id, root, {}});
                            else outcome = std::move(id).error();
                            return outcome.has_value();
                        }));
    TRY(std::move(outcome));
    for (ListedVolume& volume : volumes) {
        const auto found = TRY(details.lookup(superblock.details_root, volume.id.n()));
        if (!found)
            return Error(Errc::corrupt,
                         fmt::format("thin id {} has mappings but no details", volume.id));
        volume.details = *found;
        cache.trim();
    }
    return volumes;
}

Result<const ListedVolume*> find_listed(const std::vector<ListedVolume>& volumes, ThinId id) {
    const auto it =
        std::lower_bound(volumes.begin(), volumes.end(), id,
                         [](const ListedVolume& v, ThinId i) { return v.id.n() < i.n(); });
    if (it == volumes.end() || it->id.n() != id.n())
        return Error(Errc::not_found, fmt::format("thin id {} does not exist", id));
    return &*it;
}

}  // namespace thinvol
