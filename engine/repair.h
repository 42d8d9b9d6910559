// repair: which trees a damaged metadata device still has, and what can be saved of them.
//
// The superblock is believed as far as the trees under it are there. Where one of the two upper
// trees is not, or where the superblock is lost or older than they, all nodes of the device are
// candidates: a tree of volumes and a tree of details that name the same volumes, with as many
// mappings as the details say, belong together; of several such pairs the newest is taken. A volume
// whose details are lost, or not its own, gets times at which all its blocks count as shared: that
// costs a copy each, and never data.
//
// Units       as NodeSurvey
// Invariants  (1) no mapping that no leaf has; each volume's are those of its own tree
//             (2) reads only
// Errors      corrupt: no tree of volumes is left; invalid_argument, with what has to be given:
//             without a superblock the data block size is not known; io_error
// Threads     one
// Source      thin-provisioning-tools thin_repair(8), for what candidates can be told by
#pragma once

#include <optional>
#include <vector>

#include "engine/node_survey.h"

namespace thinvol {

struct RepairPlan {
    std::unique_ptr<NodeSurvey> survey;  // the judge for walk_contents
    MetadataContents contents;           // needs_check is off: what is built of this was checked
    std::vector<std::string> notes;      // decisions and losses, for people
    bool superblock_used = false;
};

// What is wanted where something is lost of the newest commit: that commit without it, or the
// newest one that is still there in whole, with its older mappings.
enum class RepairAim { newest, whole };

struct RepairWish {
    RepairAim aim = RepairAim::newest;
    // Of the volumes that somebody knows to be there, ascending: of several trees, those that have
    // just these are taken. Nothing if nobody knows.
    std::optional<std::vector<std::uint64_t>> thin_ids{};
};

Result<RepairPlan> plan_repair(BlockQueue& device, const PoolOverrides& known,
                               const RepairWish& wish = {});

}  // namespace thinvol
