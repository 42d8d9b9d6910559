#include "engine/reverse_map.h"

#include <algorithm>

#include "engine/leaf_cursor.h"

namespace thinvol {
namespace {

bool inside(std::span<const DataRegion> regions, DataBlock b) {
    return std::any_of(regions.begin(), regions.end(),
                       [&](const DataRegion& r) { return r.begin <= b && b < r.end; });
}

}  // namespace

Result<std::vector<ReverseRun>> reverse_map(BlockQueue& device,
                                            std::span<const DataRegion> regions) {
    const Superblock superblock = TRY(Superblock::read(device));
    BlockCache cache(device, MetadataBlocks(superblock.metadata_space_map.blocks), 4096);
    std::vector<ReverseRun> runs;
    for (const ListedVolume& volume : TRY(list_volumes(device, superblock))) {
        ReverseRun* last = nullptr;
        LeafCursor cursor(cache, volume.root);
        for (TRY(cursor.settle()); !cursor.at_end(); TRY(cursor.settle())) {
            const DataBlock data = cursor.block();
            const VirtualBlock at = cursor.key();
            cursor.step();
            if (!inside(regions, data)) continue;
            if (last != nullptr && last->data.n + last->length == data.n &&
                last->at.n + last->length == at.n)
                ++last->length;
            else last = &runs.emplace_back(ReverseRun{data, volume.id, at, 1});
        }
    }
    std::sort(runs.begin(), runs.end(), [](const ReverseRun& a, const ReverseRun& b) {
        return std::pair(a.data.n, a.thin.n()) < std::pair(b.data.n, b.thin.n());
    });
    return runs;
}

}  // namespace thinvol
