// volume_import: an image becomes a thin volume: the content of a new one, or of one that is there.
//
// It is written to a volume of its own, NAME_importing, that only a finished import turns into what
// was asked for, in one catalog transaction or by a merge: so no half of an image ever has the
// name, and a volume that is there keeps its content until all of the new one is durable. An import
// that fails takes its volume away; one that was killed leaves it, tagged, and the next import to
// that name takes it away.
//
// Units       bytes
// Invariants  (1) blocks of nothing but zeroes are not written, so they take no space
//             (2) reading the image, and looking for zeroes, runs beside writing
// Errors      exists; busy: the volume is active, or interrupted; invalid_argument: sizes that do
//             not fit; out_of_space; otherwise as ImageSource and VolumeAccess
// Threads     one, and one of its own for writing
// Source      none
#pragma once

#include "libvm/image_source.h"
#include "libvm/volume_access.h"
#include "libvm/volumes.h"

namespace thinvol {

struct ImportTarget {
    GroupRow group;
    PoolRow pool;
    std::string name;
    Bytes size{};
    std::optional<ThinRow> replaced{};  // the volume that is there
};
struct ImportCounts {
    Bytes read{};     // up to the end of the image
    Bytes written{};  // of them, whole blocks
};
// How far an import is: bytes done.
using OnProgress = std::function<void(Bytes)>;

// Whether that volume's content may be replaced: busy, read_only, unsupported.
Result<> check_replaceable(Session& session, const GroupRow& group, const PoolRow& pool,
                           const ThinRow& volume);
// `first_look` may refuse the image by its first bytes.
struct ImportHooks {
    Interrupted interrupted;
    OnProgress progress;
    std::function<Result<>(std::span<const std::byte>)> first_look;
};
struct ImportResult {
    ImportCounts counts;
    bool waits = false;  // it replaces the other volume once that is not in use any more
    std::vector<std::string> warnings{};
    PoolAnswer pool{};  // how full it is
};
Result<ImportResult> import_volume(Session& session, const ImportTarget& target,
                                   ImageSource& source, const ImportHooks& hooks);

}  // namespace thinvol
