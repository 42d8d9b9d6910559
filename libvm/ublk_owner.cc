#include "libvm/ublk_owner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/unique_fd.h"
#include "libvm/kernel_device.h"
#include "libvm/ublk_control.h"

namespace thinvol {

Result<> give_ublk_node(const std::string& name) {
    auto number = device_number(name, "ublkc");
    if (!number) number = device_number(name, "ublkb");
    if (!number) return Error(Errc::invalid_argument, name + " is no ublk device");
    // Before the driver is asked: if another device has its number by then, this node is gone.
    const std::string path = "/dev/" + name;
    const UniqueFd node(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!node) return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
    auto control = TRY(UblkControl::open());
    const ublk::DeviceInfo info = TRY(control.info(*number));
    if ((info.flags & ublk::feature_unprivileged) == 0) return {};
    constexpr auto same_group = static_cast<gid_t>(-1);
    if (::fchownat(node.get(), "", info.owner_uid, same_group, AT_EMPTY_PATH) == 0) return {};
    return Error(Errc::io_error, fmt::format("giving {} to user {}: {}", path, info.owner_uid,
                                             std::strerror(errno)));
}

}  // namespace thinvol
