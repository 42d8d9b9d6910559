#include "libvm/volume_devices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libvm/device_links.h"
#include "libvm/device_users.h"
#include "libvm/nbd_device.h"
#include "libvm/ublk_device.h"

namespace thinvol {

Result<std::filesystem::path> VolumeDevices::link_of(const ThinRow& volume) {
    const GroupRow group = TRY(session_.catalog.group(volume.lv.vg_id));
    return session_.environment.device_dir / group.name / volume.lv.name;
}

VolumeDevices::Attached* VolumeDevices::find(std::int64_t lv_id) {
    const auto it = devices_.find(lv_id);
    return it == devices_.end() ? nullptr : &it->second;
}

Result<> VolumeDevices::set(const ThinRow& volume, DeviceKind kind, const DevicePolicy& policy) {
    const Attached* present = find(volume.lv.id);
    if (present != nullptr && present->kind == kind) return {};
    if (present != nullptr) TRY(remove(volume.lv.id));
    if (kind == DeviceKind::none) return {};
    const auto make = kind == DeviceKind::ublk ? &UblkDevice::make : &NbdDevice::make;
    auto made = TRY(make(server_, volume, policy));
    KernelDevice& device = *made;
    // The kernel reads from it before it is ready.
    there([&] {
        devices_.emplace(
            volume.lv.id,
            Attached{kind, volume.lv.name, std::move(made), {}, volume.size, volume.lv.read_only});
    });
    const auto begin = [&]() -> Result<> {
        TRY(device.start());
        const auto link = TRY(link_of(volume));
        TRY(make_device_link(link, device.node()));
        there([&] { find(volume.lv.id)->link = link; });
        return {};
    };
    auto begun = begin();
    if (!begun) ignore(take_away(volume.lv.id), "what failed is said");
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
    there([&] { attached->link.clear(); });  // reports do not look at one that ends
    if (auto stopped = attached->device->stop(); !stopped) {
        there([&] { attached->link = link; });
        return stopped;
    }
    if (!link.empty()) remove_device_link(link);
    std::unique_ptr<KernelDevice> gone;  // ends on this thread
    there([&] {
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
        if (auto made = make_device_link(*link, attached->device->node()); !made)
            warnings.push_back(made.error().text);
        remove_device_link(attached->link);
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

bool VolumeDevices::run_once() {
    bool progress = false;
    for (auto& [id, attached] : devices_) progress = attached.device->run_once() || progress;
    return progress;
}

void VolumeDevices::tick() {
    for (auto& [id, attached] : devices_) attached.device->tick();
}

std::string VolumeDevices::node(std::int64_t lv_id) const {
    const auto it = devices_.find(lv_id);
    if (it == devices_.end() || it->second.link.empty()) return {};
    return it->second.device->node();
}

void remove_left_overs(const Environment& environment, const std::string& pool_uuid) {
    if (!environment.has_sockets(pool_uuid)) return;
    auto nodes = remove_left_ublk(pool_uuid);
    for (std::string& node : remove_left_nbd(pool_uuid)) nodes.push_back(std::move(node));
    for (const std::string& node : nodes) remove_device_links_to(environment.device_dir, node);
    environment.remove_sockets(pool_uuid);
}

}  // namespace thinvol
