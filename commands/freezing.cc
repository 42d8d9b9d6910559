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
Result<FrozenMounts> freeze(Invocation& call, const Session& session, const PoolRow& pool,
                            const std::vector<FoundThin>& origins) {
    std::vector<std::string> mounts;
    if (call.has("no-freeze") || session.environment.rehearsal) return FrozenMounts::freeze(mounts);
    const auto status = TRY(ask_if_served(session.environment, pool, new_request(StatusRequest{})));
    for (const ActiveVolume& active : status ? status->active : std::vector<ActiveVolume>()) {
        const bool asked = std::any_of(origins.begin(), origins.end(), [&](const FoundThin& o) {
            return o.thin.lv.id == active.lv_id;
        });
        if (!asked || active.device.empty()) continue;
        for (const std::string& point : file_systems_on(active.device)) {
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
    const FrozenMounts frozen = TRY(freeze(call, session, pool, origins));
    return create_volumes(session, origins.front().group, pool, wanted);
}

}  // namespace thinvol
