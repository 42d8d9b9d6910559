#include "engine/volume_trees.h"

namespace thinvol {

Result<> MappingValue::retain(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i)
        TRY(data->increment(decode(leaf.value(i)).block));
    return {};
}

Result<> RootValue::retain(const NodeView& leaf) {
    for (std::uint32_t i = 0; i < leaf.entries(); ++i) TRY(tm->increment(decode(leaf.value(i))));
    return {};
}

VolumeDetails DetailsValue::decode(const std::byte* p) {
    DiskDetails disk;
    std::memcpy(&disk, p, sizeof disk);
    return {disk.mapped_blocks.get(),
            {disk.transaction_id.get()},
            disk.creation_time.get(),
            disk.snapshotted_time.get()};
}

void DetailsValue::encode(std::byte* p, const Type& v) {
    DiskDetails disk;
    disk.mapped_blocks.set(v.mapped_blocks);
    disk.transaction_id.set(v.created_in.n);
    disk.creation_time.set(v.creation_time);
    disk.snapshotted_time.set(v.snapshotted_time);
    std::memcpy(p, &disk, sizeof disk);
}

}  // namespace thinvol
