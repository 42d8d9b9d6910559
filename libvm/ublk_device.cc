#include "libvm/ublk_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <thread>

namespace thinvol {
namespace {

constexpr std::uint16_t depth = 128;
constexpr Bytes io_max{512 << 10};
constexpr auto queue_patience = std::chrono::seconds(10);
constexpr const char* known_devices = "/sys/class/ublk-char";

}  // namespace

bool ublk_works() { return UblkControl::open().has_value(); }

UblkDevice::UblkDevice(const DeviceServer& server, UblkControl control, const ThinRow& volume)
    : server_(server),
      control_(std::move(control)),
      lv_id_(volume.lv.id),
      disk_{volume.size, to_bytes(server.pool.data_block_size()), io_max, volume.lv.read_only},
      owner_(ublk_owner(server.pool_uuid, volume.thin_id)) {}

Result<std::unique_ptr<KernelDevice>> UblkDevice::make(const DeviceServer& server,
                                                       const ThinRow& volume,
                                                       const DevicePolicy& policy) {
    std::unique_ptr<UblkDevice> device(new UblkDevice(server, TRY(UblkControl::open()), volume));
    UblkQueue::Options& options = device->options_;
    options.user_copy = policy.user_copy && device->control_.offers(ublk::feature_user_copy);
    options.legacy = device->control_.legacy();
    return device;
}

Result<> UblkDevice::start() {
    TRY(add());
    TRY(open_queue());
    return control_.start(device_);
}

Result<> UblkDevice::add() {
    ublk::DeviceInfo wanted;
    wanted.queues = 1;
    wanted.depth = depth;
    wanted.io_bytes_max = static_cast<std::uint32_t>(io_max.n);
    wanted.flags = options_.user_copy ? ublk::feature_user_copy : 0;
    wanted.server_flags = owner_;
    const ublk::DeviceInfo made = TRY(control_.add(wanted));
    device_ = made.device;
    options_.depth = made.depth;
    options_.io_max = disk_.io_max = Bytes(made.io_bytes_max);
    return control_.set_parameters(device_, ublk_parameters(disk_));
}

Result<> UblkDevice::open_queue() {
    const std::string path = fmt::format("/dev/ublkc{}", device_);
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
    Result<> opened;
    server_.reactor.call([&] {
        // Memory that this thread asks for must not wait for its own disks to be written.
        ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
        NbdExport& exported = *server_.nbd.exports().at(lv_id_);
        auto queue =
            UblkQueue::open(server_.reactor, server_.pool, exported, std::move(fd), options_);
        if (queue) queue_ = std::move(*queue);
        else opened = std::move(queue).error();
    });
    return within(path, std::move(opened));
}

Result<> UblkDevice::check_resize() const {
    if (control_.offers(ublk::feature_update_size)) return {};
    return Error(Errc::unsupported,
                 fmt::format("{} keeps its size: this kernel does not resize ublk devices (6.16 "
                             "does); deactivate the volume and activate it again",
                             node()));
}

// Once the driver has handed back all it had waiting, and the pool all it had taken.
Result<> UblkDevice::end_queue() {
    const auto end = std::chrono::steady_clock::now() + queue_patience;
    for (bool ended = !queue_; !ended; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
        server_.reactor.call([&] {
            queue_->run_once();
            ended = queue_->ended();
            if (ended) queue_.reset();
        });
        if (!ended && std::chrono::steady_clock::now() > end)
            return Error(Errc::busy, fmt::format("{}: its last requests do not end", node()));
    }
    return {};
}

Result<> UblkDevice::stop() {
    if (device_ == ublk::any_device) return {};
    TRY(control_.stop(device_));
    TRY(end_queue());
    TRY(control_.remove(device_));
    device_ = ublk::any_device;
    return {};
}

UblkDevice::~UblkDevice() { ignore(stop(), "whoever takes the pool next removes what is left"); }

std::vector<std::string> remove_left_ublk(std::string_view pool_uuid) {
    std::vector<std::string> removed;
    std::error_code error;
    const std::filesystem::directory_iterator entries(known_devices, error);
    if (error || entries == std::filesystem::directory_iterator()) return removed;
    auto control = UblkControl::open();
    if (!control) return removed;
    for (const auto& entry : entries) {
        constexpr std::string_view prefix = "ublkc";
        const std::string name = entry.path().filename().string();
        std::uint32_t device = 0;
        if (!name.starts_with(prefix) ||
            std::from_chars(name.data() + prefix.size(), name.data() + name.size(), device).ec !=
                std::errc())
            continue;
        const auto info = control->info(device);
        if (!info || !is_of_pool(info->server_flags, pool_uuid)) continue;
        if (control->stop(device) && control->remove(device)) removed.push_back(ublk_node(device));
    }
    return removed;
}

}  // namespace thinvol
