#include "commands/freezing.h"

#include <sys/stat.h>

#include <algorithm>

#include "libvm/device_users.h"
#include "libvm/frozen_mounts.h"

namespace thinvol {
namespace {

bool holds(const std::string& mount_point, const std::filesystem::path& path) {
    struct stat one{}, other{};
    return ::stat(mount_point.c_str(), &one) == 0 && ::stat(path.c_str(), &other) == 0 &&
           one.st_dev == other.st_dev;
}

// What is mounted on this host of the origins, while the snapshots are taken. Not the file system
// that this command itself writes to.
Result<FrozenMounts> freeze(Invocation& call, const Session& session,
                            const std::vector<FoundThin>& origins) {
    std::vector<std::string> mounts;
    if (call.has("no-freeze") || session.environment.rehearsal) return FrozenMounts::freeze(mounts);
    for (const FoundThin& origin : origins) {
        std::error_code none;
        const std::string node = std::filesystem::read_symlink(
            session.environment.device_dir / origin.group.name / origin.thin.lv.name, none);
        if (none) continue;
        for (const std::string& point : file_systems_on(node)) {
            if (!holds(point, session.environment.state_dir)) mounts.push_back(point);
            else call.warn(fmt::format("{} holds the catalog, and is not frozen.", point));
        }
    }
    return FrozenMounts::freeze(mounts);
}

}  // namespace

Result<VolumeResult> create_frozen(Invocation& call, Session& session, const PoolRow& pool,
                                   const std::vector<FoundThin>& origins,
                                   const MakeVolumesRequest& wanted) {
    const FrozenMounts frozen = TRY(freeze(call, session, origins));
    return create_volumes(session, origins.front().group, pool, wanted);
}

}  // namespace thinvol
