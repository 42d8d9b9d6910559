// volume_export: a thin volume becomes an image.
//
// An inactive volume is read as VolumeAccess has it. One that is active is exported as of one
// instant: from a snapshot, NAME_exporting, taken as tvsnapshot does (frozen_volumes.h), which goes
// with the export; one that a killed export left, tagged, goes with the next export of that volume.
//
// Units       bytes
// Invariants  (1) what the volume does not map is not read
//             (2) reading the volume runs beside writing the image
// Errors      as ImageTarget and VolumeAccess; busy: interrupted
// Threads     one, and one of its own for writing
// Source      none
#pragma once

#include "libvm/image_source.h"
#include "libvm/image_target.h"
#include "libvm/volume_access.h"
#include "libvm/volumes.h"

namespace thinvol {

struct ExportHooks {
    Interrupted interrupted;
    std::function<void(Bytes)> progress;  // how much is done
    bool freeze = true;                   // an active volume, for its snapshot
};
struct ExportResult {
    Bytes data{};  // what was not a hole
    std::vector<std::string> warnings{};
};
Result<ExportResult> export_volume(Session& session, const GroupRow& group, const ThinRow& volume,
                                   ImageTarget& target, const ExportHooks& hooks);

}  // namespace thinvol
