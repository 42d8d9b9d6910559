#include "libvm/left_devices.h"

#include <algorithm>
#include <fstream>

#include "libvm/device_links.h"
#include "libvm/file_lock.h"
#include "libvm/nbd_device.h"
#include "libvm/ublk_device.h"

namespace thinvol {
namespace {

std::uint64_t attribute_of(const LeftDevice& left, const char* name) {
    std::ifstream in("/sys/block" / std::filesystem::path(left.node).filename() / name);
    std::uint64_t value = 0;
    in >> value;
    return value;
}

}  // namespace

std::vector<LeftDevice> find_left_devices(std::string_view pool_uuid) {
    auto left = left_ublk(pool_uuid);
    for (LeftDevice& device : left_nbd(pool_uuid)) left.push_back(std::move(device));
    for (LeftDevice& device : left) {
        device.size = Bytes(attribute_of(device, "size") * sector_bytes);
        device.read_only = attribute_of(device, "ro") != 0;
    }
    return left;
}

Result<> remove_left_device(const Environment& environment, const LeftDevice& left) {
    TRY(left.kind == DeviceKind::ublk ? remove_left_ublk(left.number)
                                      : remove_left_nbd(left.number));
    forget_device(environment, left.node);
    return {};
}

bool clear_left_overs(const Environment& environment, const std::string& pool_uuid) {
    if (!environment.has_sockets(pool_uuid)) return true;
    const auto left = find_left_devices(pool_uuid);
    if (std::any_of(left.begin(), left.end(), [](const LeftDevice& d) { return d.recoverable; }))
        return false;
    for (const LeftDevice& device : left)
        ignore(remove_left_device(environment, device), "nobody can do more about it");
    environment.remove_sockets(pool_uuid);
    return true;
}

Result<std::vector<std::string>> give_up_left_devices(const Environment& environment,
                                                      const std::string& pool_uuid) {
    const FileLock lock = TRY(FileLock::try_exclusive(environment.lock_path(pool_uuid)));
    std::vector<std::string> removed;
    for (const LeftDevice& device : find_left_devices(pool_uuid)) {
        TRY(remove_left_device(environment, device));
        removed.push_back(device.node);
    }
    environment.remove_sockets(pool_uuid);
    return removed;
}

}  // namespace thinvol
