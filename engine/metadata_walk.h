// metadata_walk: a device's metadata as events for a visitor.
//
// Two volumes share what their trees share. With `subtrees`, leaves that more than one volume's
// tree reaches are given once, before the volumes, in pieces as long as all those volumes agree on
// what follows what; without, each volume has all of its mappings.
//
// Units       metadata blocks; otherwise as MetadataVisitor
// Invariants  (1) reads only; the device must not change meanwhile
//             (2) each leaf is read once for each time that its mappings are given, in batches by
//                 place; memory: an internal node's children once, and with `subtrees` 12 bytes for
//                 each metadata block
// Errors      corrupt, naming the block; io_error; what the visitor returns
// Threads     one
// Source      format.h; thin-provisioning-tools thin_dump(8) for what a piece is
#pragma once

#include <optional>
#include <vector>

#include "engine/block_queue.h"
#include "engine/metadata_visitor.h"
#include "engine/superblock.h"

namespace thinvol {

// Volumes as they are in the two trees above the mappings, in the order of their ids.
struct WalkedVolume {
    VolumeFacts facts;
    MetadataBlock root;
};

// What is walked: of a device the current state, or what somebody has put together.
struct MetadataContents {
    PoolFacts pool;
    MetadataBlocks blocks{};  // of the device
    std::vector<WalkedVolume> volumes;
};

// The superblock, and the volumes under it.
Result<MetadataContents> read_contents(BlockQueue& device);

struct KeyRange {
    std::uint64_t first = 0;
    std::uint64_t last = ~0ULL;
};

// For metadata with damage: whose word is taken for which nodes to follow.
class NodeJudge {
public:
    virtual ~NodeJudge() = default;
    // Whether the node at that place of a mapping tree is what belongs there: `height` levels above
    // the leaves, none for a root, with keys in that range. If not, what is below it is left out.
    virtual bool follow(MetadataBlock at, std::optional<unsigned> height, KeyRange keys) = 0;
};

struct WalkOptions {
    bool subtrees = false;
    NodeJudge* judge = nullptr;  // with one, mappings to data blocks past the pool are left out too
};
Result<> walk_contents(BlockQueue& device, const MetadataContents& contents, WalkOptions options,
                       MetadataVisitor& visitor);

// Both.
Result<> walk_metadata(BlockQueue& device, WalkOptions options, MetadataVisitor& visitor);

}  // namespace thinvol
