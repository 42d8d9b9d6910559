// volume_list: the volumes of a pool's metadata, for those who only read.
//
// Units       none
// Invariants  sorted by id, no id twice; each has a mapping tree and details
// Errors      corrupt, naming the block; not_found; io_error
// Threads     one
// Source      none
#pragma once

#include "engine/thin_metadata.h"

namespace thinvol {

struct ListedVolume {
    ThinId id;
    MetadataBlock root;
    VolumeDetails details;
};

Result<std::vector<ListedVolume>> list_volumes(BlockQueue& device, const Superblock& superblock);
Result<const ListedVolume*> find_listed(const std::vector<ListedVolume>& volumes, ThinId id);

}  // namespace thinvol
