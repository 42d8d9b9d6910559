// FrozenMounts: file systems of this host that are held still, with all that was written to them on
// the device below, while a snapshot of that device is taken.
//
// A process of its own ends the freeze where this one is killed: a file system that stays frozen
// stops whoever uses it.
//
// Units       none
// Invariants  what was frozen here is thawed, whatever becomes of this process
// Errors      io_error: the mount point and the cause; what was frozen before is thawed
// Threads     one
// Source      ioctl_fs(2): FIFREEZE, FITHAW
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace thinvol {

class FrozenMounts {
public:
    // A file system that cannot be frozen, or is frozen already, stays as it is.
    static Result<FrozenMounts> freeze(const std::vector<std::string>& mount_points);
    FrozenMounts(FrozenMounts&& other) noexcept;
    FrozenMounts& operator=(FrozenMounts&&) = delete;
    ~FrozenMounts();

private:
    FrozenMounts() = default;
    Result<> start_guardian();
    Result<> tell_guardian(std::size_t mount);

    std::vector<UniqueFd> mounts_;
    std::vector<std::size_t> frozen_;
    UniqueFd guardian_;
    pid_t guardian_pid_ = -1;
};

}  // namespace thinvol
