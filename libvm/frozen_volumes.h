// FrozenVolumes: volumes held still while their snapshots are taken: by hooks where a guest has the
// file system, and what is mounted of them on this host.
//
// A process of its own freezes and thaws, so that both happen in order, each once, whatever becomes
// of this one. Should that process be killed, this one thaws.
//
// Units       none
// Invariants  (1) what was begun to be frozen here is thawed, the last first; a hook that failed to
//                 freeze counts as begun
//             (2) what somebody else froze stays frozen
// Errors      io_error: what, the cause, what the hook said; all is thawed then
// Threads     one, and no other in the process: the child goes on without an exec
// Source      ioctl_fs(2): FIFREEZE, FITHAW; fsfreeze-hook of QEMU's guest agent
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "libvm/volumes.h"

namespace thinvol {

struct VolumeToFreeze {
    std::string group, volume;
    std::vector<std::string> freeze_hook, thaw_hook;  // programs and arguments; empty: none
    std::chrono::seconds hook_limit{};
    std::vector<std::string> mount_points;
};

class FrozenVolumes {
public:
    // A file system that cannot be frozen, or is frozen already, stays as it is.
    static Result<FrozenVolumes> freeze(const std::vector<VolumeToFreeze>& volumes);
    FrozenVolumes(FrozenVolumes&& other) noexcept;
    FrozenVolumes& operator=(FrozenVolumes&&) = delete;
    ~FrozenVolumes();
    // Already so: nothing happens.
    Result<> thaw();

    struct Step {  // a volume's hooks, or a mount point
        std::string name;
        std::vector<std::string> freeze_hook{}, thaw_hook{}, variables{};
        std::chrono::seconds hook_limit{};
        UniqueFd mount{};
    };
    class Marks;  // of the steps that were begun; both processes see them

private:
    FrozenVolumes(std::vector<Step> steps, std::unique_ptr<Marks> begun);
    Result<> start_guardian();

    std::vector<Step> steps_;
    std::unique_ptr<Marks> begun_;
    UniqueFd orders_;   // closed: thaw
    UniqueFd reports_;  // of the guardian
    pid_t guardian_ = -1;
};

// Snapshots of the volumes that they name as their origins, held still for that if `freeze` says
// so. A snapshot that was made and an origin that could not be thawed are an error that says both.
Result<VolumeResult> create_frozen(Session& session, const GroupRow& group, const PoolRow& pool,
                                   const MakeVolumesRequest& wanted, bool freeze = true);

}  // namespace thinvol
