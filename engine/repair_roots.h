// repair_roots: the trees of volumes and of details that a device may have, from all its nodes.
//
// Units       metadata blocks; thin ids
// Invariants  (1) a root is not below another root of its kind
//             (2) of damaged trees, what is readable
// Errors      none: what is unusable is no candidate
// Threads     one
// Source      thin-provisioning-tools thin_repair(8)
#pragma once

#include "engine/node_survey.h"

namespace thinvol {

// A tree of volumes: thin id -> root of a mapping tree.
struct VolumeTree {
    struct Entry {
        std::uint64_t id;
        MetadataBlock root;
        std::optional<NodeSurvey::Below> below;  // nothing: the root is lost
    };
    MetadataBlock at;
    std::vector<Entry> entries;
    bool whole = true;  // this tree, not those below it
};

struct DetailsTree {
    MetadataBlock at;
    std::vector<VolumeFacts> entries;
    bool whole = true;
};

// Nothing if there is no such tree at that place.
std::optional<VolumeTree> volume_tree_at(NodeSurvey& survey, MetadataBlock root);
std::optional<DetailsTree> details_tree_at(NodeSurvey& survey, MetadataBlock root);

// What is kept of each root that might be one; equal hashes stand for equal lists.
struct RootCandidate {
    MetadataBlock at;
    std::uint64_t ids = 0;     // hash of the volumes' ids
    std::uint64_t counts = 0;  // hash of ids and numbers of mappings
    std::uint64_t volumes = 0;
    std::uint64_t mappings = 0;
    TransactionId newest{};  // of a details tree: when its newest volume was made
    std::uint64_t time = 0;  // of a details tree: the latest in it
    bool whole = true;       // nothing is lost, in the trees below neither
};
struct RootCandidates {
    std::vector<RootCandidate> volumes;
    std::vector<RootCandidate> details;
};
RootCandidates find_roots(NodeSurvey& survey);
// As RootCandidate::ids; ascending.
std::uint64_t hash_of_ids(std::span<const std::uint64_t> ids);
RootCandidate summary_of(const VolumeTree& tree);
RootCandidate summary_of(const DetailsTree& tree);

}  // namespace thinvol
