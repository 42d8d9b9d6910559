#include "libvm/volume_devices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/base/assert.h"
#include "libvm/device_links.h"
#include "libvm/device_users.h"
#include "libvm/left_devices.h"
#include "libvm/nbd_device.h"
#include "libvm/ublk_device.h"

namespace thinvol {
namespace {

Result<std::unique_ptr<KernelDevice>> make_device(DeviceKind kind, const DeviceServer& server,
                                                  const ThinRow& volume,
                                                  const DevicePolicy& policy) {
    return kind == DeviceKind::ublk ? UblkDevice::make(server, volume, policy)
                                    : NbdDevice::make(server, volume, policy);
}

}  // namespace

VolumeDevices::VolumeDevices(DeviceServer server, Session& session)
    : server_(std::move(server)), session_(session), left_(find_left_devices(server_.pool_uuid)) {}

std::vector<LeftDevice>::const_iterator VolumeDevices::left_of(const ThinRow& volume) const {
    return std::find_if(left_.begin(), left_.end(),
                        [&](const LeftDevice& left) { return left.thin_id == volume.thin_id; });
}

Result<std::vector<std::string>> VolumeDevices::recover(const ThinRow& volume,
                                                        const DevicePolicy& policy) {
    const auto left = left_of(volume);
    ASSERT(left != left_.end());
    auto made = TRY(make_device(left->kind, server_, volume, policy));
    there([&] { server_.nbd.set_outlived(volume.lv.id, true); });
    TRY(made->recover(*left));
    there([&] {
        devices_.emplace(
            volume.lv.id,
            Attached{left->kind, volume.lv.name, std::move(made), {}, left->size, left->read_only});
    });
    left_.erase(left);
    if (auto linked = make_link(volume); !linked)
        return std::vector<std::string>{linked.error().text};
    return update(volume);
}

Result<> VolumeDevices::remove_left(const LeftDevice& left) {
    TRY(remove_left_device(session_.environment, left));
    std::erase_if(left_, [&](const LeftDevice& l) { return l.node == left.node; });
    return {};
}

Result<> VolumeDevices::make_link(const ThinRow& volume) {
    const auto link = TRY(link_of(volume));
    TRY(make_device_link(session_.environment, link, find(volume.lv.id)->device->node()));
    there([&] { find(volume.lv.id)->link = link; });
    return {};
}

Result<std::filesystem::path> VolumeDevices::link_of(const ThinRow& volume) {
    const GroupRow group = TRY(session_.catalog.group(volume.lv.vg_id));
    return session_.environment.device_link(group.name, volume.lv.name);
}

VolumeDevices::Attached* VolumeDevices::find(std::int64_t lv_id) {
    const auto it = devices_.find(lv_id);
    return it == devices_.end() ? nullptr : &it->second;
}

Result<> VolumeDevices::set(const ThinRow& volume, DeviceKind kind, const DevicePolicy& policy) {
    if (is_left(volume)) TRY(recover(volume, policy));
    const Attached* present = find(volume.lv.id);
    if (present != nullptr && present->kind == kind) return {};
    if (present != nullptr) TRY(remove(volume.lv.id));
    if (kind == DeviceKind::none) return {};
    auto made = TRY(make_device(kind, server_, volume, policy));
    KernelDevice& device = *made;
    // The kernel reads from it before it is ready.
    there([&] {
        server_.nbd.set_outlived(volume.lv.id, true);
        devices_.emplace(
            volume.lv.id,
            Attached{kind, volume.lv.name, std::move(made), {}, volume.size, volume.lv.read_only});
    });
    auto begun = device.start();
    if (begun) begun = make_link(volume);
    if (begun) {
        wait_for_udev();
        there([&] { server_.nbd.set_outlived(volume.lv.id, device.outlives_server()); });
    } else ignore(take_away(volume.lv.id), "what failed is said");
    return begun;
}

Result<> VolumeDevices::check_unused(std::int64_t lv_id) {
    const Attached* attached = find(lv_id);
    if (attached == nullptr) return {};
    const std::string node = attached->device->node();
    const auto users = device_users(node);
    if (users.empty()) return {};
    return Error(Errc::busy, fmt::format("Logical volume {} in use: {} is {}", attached->name, node,
                                         fmt::join(users, ", ")));
}

Result<> VolumeDevices::remove(std::int64_t lv_id) {
    TRY(check_unused(lv_id));
    return take_away(lv_id);
}

Result<> VolumeDevices::take_away(std::int64_t lv_id) {
    Attached* attached = find(lv_id);
    if (attached == nullptr) return {};
    const auto link = attached->link;
    const std::string node = attached->device->node();
    there([&] { attached->link.clear(); });  // reports do not look at one that ends
    if (auto stopped = attached->device->stop(); !stopped) {
        there([&] { attached->link = link; });
        return stopped;
    }
    forget_device(session_.environment, node);
    std::unique_ptr<KernelDevice> gone;  // ends on this thread
    there([&] {
        server_.nbd.set_outlived(lv_id, false);
        gone = std::move(attached->device);
        devices_.erase(lv_id);
    });
    return {};
}

void VolumeDevices::remove_all() {
    std::vector<std::int64_t> ids;
    for (const auto& [id, attached] : devices_) ids.push_back(id);
    for (const std::int64_t id : ids)
        ignore(take_away(id), "whoever takes the pool next removes what is left");
}

std::vector<std::string> VolumeDevices::update(const ThinRow& volume) {
    std::vector<std::string> warnings;
    Attached* attached = find(volume.lv.id);
    if (attached == nullptr) return warnings;
    const auto link = link_of(volume);
    if (link && *link != attached->link) {
        if (auto made = make_device_link(session_.environment, *link, attached->device->node());
            !made)
            warnings.push_back(made.error().text);
        remove_device_link(attached->link);
        wait_for_udev();
        there([&] { attached->link = *link; });
        attached->name = volume.lv.name;
    }
    if (volume.size != attached->size) {
        auto resized = attached->device->check_resize();
        if (resized) resized = attached->device->resize(volume.size);
        if (!resized) warnings.push_back(resized.error().text);
        else attached->size = volume.size;
    }
    if (volume.lv.read_only != attached->read_only) {
        warnings.push_back(fmt::format(
            "{} stays {} until {} is deactivated and activated again", attached->device->node(),
            attached->read_only ? "read-only" : "a writable device", volume.lv.name));
    }
    return warnings;
}

Result<> VolumeDevices::check_resize(std::int64_t lv_id) {
    const Attached* attached = find(lv_id);
    return attached == nullptr ? Result<>() : attached->device->check_resize();
}

Result<> VolumeDevices::check_outlives() const {
    for (const auto& [id, attached] : devices_) {
        if (attached.device->outlives_server()) continue;
        return Error(Errc::busy,
                     fmt::format("the kernel lets {}, which is not root's, end with its server: "
                                 "deactivate volume {} first",
                                 attached.device->node(), attached.name));
    }
    return {};
}

std::string VolumeDevices::node(std::int64_t lv_id) const {
    const auto it = devices_.find(lv_id);
    if (it == devices_.end() || it->second.link.empty()) return {};
    return it->second.device->node();
}

}  // namespace thinvol
