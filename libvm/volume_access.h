// VolumeAccess: the bytes of an inactive volume, for whoever copies it: in this process, or by way
// of the pool's server where other volumes of the pool are active.
//
// Nobody else changes the volume meanwhile, and nothing it maps moves: in this process the pool's
// lock is held, and the server refuses what would activate, resize, merge or remove it. What is
// read goes through the engine, so it is what the volume shows at the moment, whatever is copied or
// freed for other volumes.
//
// Units       bytes
// Invariants  (1) it ends with the process: a server closes what its connection had open
//             (2) writes do not wait for space: they fail with out_of_space
// Errors      busy: the volume is active, or imported or exported already; otherwise as Pool's
// Threads     one at a time
// Source      none
#pragma once

#include "libvm/pool_access.h"

namespace thinvol {

enum class Purpose { reading, writing };

class VolumeAccess {
public:
    virtual ~VolumeAccess() = default;
    // All of one kind, of volume_io_max bytes at most; several are in flight. Each has its outcome,
    // the first error is returned.
    virtual Result<> run(std::span<IoRequest> requests) = 0;

    // Whether somebody can make room in a full pool meanwhile.
    virtual bool room_may_come() const = 0;

    // What lies from there on, as far as one look goes: at least something, at most `length`.
    Result<std::vector<VolumeExtent>> extents(ByteOffset at, Bytes length);
    Result<> flush();

    static Result<std::unique_ptr<VolumeAccess>> open(Session& session, const GroupRow& group,
                                                      const PoolRow& pool, const ThinRow& volume,
                                                      Purpose purpose);
};

// Whether a server exports it.
Result<bool> is_active(Session& session, const PoolRow& pool, const ThinRow& volume);

// A volume that an import or export made for itself and left when it was killed: by that name, and
// with that tag, so that nobody's own is taken for one. busy: that import or export goes on.
Result<> remove_left_over(Session& session, const GroupRow& group, const PoolRow& pool,
                          const std::string& name, std::string_view tag);

}  // namespace thinvol
