// NodeSurvey: every block of a damaged metadata device looked at once, so that trees can be judged
// from below: which nodes are sound, and what hangs on them.
//
// Units       metadata blocks; keys are virtual blocks in mapping trees, thin ids in those above
// Invariants  (1) a node is sound when its checksum, its own number and its shape are right
//             (2) a node of a mapping tree is usable when it is sound, as far from the leaves as
//                 its neighbours, and its keys are in the range of the node above: what was
//                 written by mistake where it does not belong is not followed
//             (3) memory: 40 bytes a block of the device
// Errors      io_error, for the whole device; blocks that cannot be read are unsound
// Threads     one
// Source      format.h
#pragma once

#include "engine/metadata_walk.h"
#include "engine/node_reader.h"

namespace thinvol {

class NodeSurvey : public NodeJudge {
public:
    enum class Kind : std::uint8_t {
        none,          // unsound, or no node
        numbers_leaf,  // values of 8 bytes: of a mapping tree, or of the tree of volumes
        details_leaf,  // 24 bytes
        other_leaf,    // of a space map
        internal,
    };
    struct Below {  // what hangs on a node of a mapping tree
        unsigned height = 0;
        std::uint64_t mappings = 0;  // that can be reached
        bool whole = true;           // nothing is lost
    };

    static Result<std::unique_ptr<NodeSurvey>> of(BlockQueue& device);

    MetadataBlocks size() const { return MetadataBlocks(facts_.size()); }
    Kind kind(MetadataBlock at) const { return facts_[at.n].kind; }
    // Copies of the superblock in other places than block 0: metadata snapshots, old or in use.
    const std::vector<MetadataBlock>& superblock_copies() const { return superblock_copies_; }
    NodeReader& reader() { return reader_; }

    // As the root of a mapping tree, or as a node with keys in that range; nothing if not usable.
    std::optional<Below> mappings_below(MetadataBlock at, KeyRange keys = {});
    // Sound nodes are where they do not belong, at this place or below: what points to them is
    // older than they are. Nodes that are merely lost say nothing.
    bool overtaken(MetadataBlock at, KeyRange keys = {});
    bool follow(MetadataBlock at, std::optional<unsigned> height, KeyRange keys) override;
    // The ranges of keys below a node that cannot be reached, in order, at most `most` of them.
    void lost_below(MetadataBlock at, KeyRange keys, std::size_t most, std::vector<KeyRange>& lost);

private:
    enum class State : std::uint8_t { unknown, at_work, usable, unusable };
    struct Facts {
        Kind kind = Kind::none;
        State state = State::unknown;
        bool whole = true;
        bool overtaken = false;
        std::uint8_t height = 0;
        std::uint16_t entries = 0;
        std::uint64_t first = 0;  // keys, where there are entries
        std::uint64_t last = 0;
        std::uint64_t mappings = 0;
    };
    struct Child {
        MetadataBlock at;
        KeyRange keys;
    };

    explicit NodeSurvey(BlockQueue& device, MetadataBlocks size)
        : reader_(device, size), facts_(size.n) {}
    void look_at(MetadataBlock at, ConstBlockBytes block);
    std::vector<Child> children_of(MetadataBlock at, KeyRange keys);
    void judge(MetadataBlock at, unsigned depth);
    const Facts* usable(MetadataBlock at, KeyRange keys, unsigned depth);

    NodeReader reader_;
    std::vector<Facts> facts_;
    std::vector<MetadataBlock> superblock_copies_;
};

}  // namespace thinvol
