#include "libvm/borrowed_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "libvm/device_policy.h"
#include "libvm/ublk_control.h"

namespace thinvol {
namespace {

// Nothing: the volume is not active.
Result<std::optional<ActiveVolume>> active_volume(const Session& session, const PoolRow& pool,
                                                  std::int64_t lv_id) {
    const auto status = TRY(pool_status(session.environment, pool));
    if (!status) return std::optional<ActiveVolume>();
    const auto& all = status->active;
    const auto it =
        std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.lv_id == lv_id; });
    return it == all.end() ? std::nullopt : std::optional(*it);
}

}  // namespace

Result<BorrowedDevice> BorrowedDevice::open(Session& session, const GroupRow& group,
                                            const ThinRow& volume) {
    BorrowedDevice device(session, TRY(session.catalog.pool(volume.pool_id)), volume.lv.id);
    const auto active = TRY(active_volume(session, device.pool_, volume.lv.id));
    if (!active) TRY(device.make(group, volume));
    else device.node_ = active->device;
    if (!device.node_.empty()) return device;
    return Error(Errc::busy,
                 fmt::format("{}/{} is active and reached by NBD, so its file system is in the "
                             "hands of whoever attached it",
                             group.name, volume.lv.name));
}

// As it is set to be, if that is a device; else as this host can.
Result<> BorrowedDevice::make(const GroupRow& group, const ThinRow& volume) {
    const DevicePolicy policy = TRY(DevicePolicy::load(session_, volume));
    std::vector<std::string> ways{"ublk", "nbd-kernel"};
    if (policy.kinds.device == DeviceKind::nbd) std::swap(ways.front(), ways.back());
    Result<> outcome;
    for (const std::string& way : ways) {
        auto done = activate(session_, group, pool_, {{lv_id_}, way, false});
        if (done) {
            made_ = true;
            const auto active = TRY(active_volume(session_, pool_, lv_id_));
            if (active) node_ = active->device;
            return {};
        }
        if (done.error().code != Errc::unsupported && done.error().code != Errc::not_found)
            return std::move(done).error();
        if (outcome)
            outcome = Error(Errc::unsupported,
                            fmt::format("{}/{} cannot be a block device here: {}", group.name,
                                        volume.lv.name, done.error().text));
        else outcome = Error(Errc::unsupported, outcome.error().text + "; " + done.error().text);
    }
    return outcome;
}

Bytes BorrowedDevice::size() const {
    const UniqueFd fd(::open(node_.c_str(), O_RDONLY | O_CLOEXEC));
    std::uint64_t size = 0;
    if (fd) ::ioctl(fd.get(), BLKGETSIZE64, &size);
    return Bytes(size);
}

Result<> BorrowedDevice::check_resizable() const {
    if (made_ || !node_.starts_with("/dev/ublkb")) return {};
    const UblkControl control = TRY(UblkControl::open());
    if (control.offers(ublk::feature_update_size)) return {};
    return Error(Errc::unsupported,
                 fmt::format("{} keeps its size while it is active: this kernel does not resize "
                             "ublk devices (6.16 does)",
                             node_));
}

Result<> BorrowedDevice::give_back() {
    if (!std::exchange(made_, false)) return {};
    // udev looks at what was written and closed, for a moment.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
        const auto gone = deactivate(session_, pool_, {lv_id_});
        if (gone) return {};
        if (gone.error().code != Errc::busy || std::chrono::steady_clock::now() > end)
            return gone.error();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

}  // namespace thinvol
