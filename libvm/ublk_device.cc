#include "libvm/ublk_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

namespace thinvol {
namespace {

constexpr std::uint16_t depth = 128;
constexpr Bytes io_max{512 << 10};
constexpr auto queue_patience = std::chrono::seconds(10);
// A queue all of whose requests were with a server that died the driver sees once they time out,
// after 30 s.
constexpr auto recovery_patience = std::chrono::seconds(90);
constexpr auto owner_patience = std::chrono::seconds(10);
constexpr std::uint64_t outliving = ublk::feature_recovery | ublk::feature_reissue;
constexpr const char* known_devices = "/sys/class/ublk-char";

// udev makes it the user's whose device it is.
Result<> await_owner(const std::string& path) {
    const auto end = std::chrono::steady_clock::now() + owner_patience;
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
        if (::access(path.c_str(), R_OK | W_OK) == 0) return {};
        if (std::chrono::steady_clock::now() > end) break;
    }
    return Error(Errc::unsupported,
                 fmt::format("{} did not become yours within {} s: {}; udev does that by "
                             "60-thinvol-ublk.rules: once root has installed them, and called "
                             "udevadm control --reload and udevadm trigger {}, try again",
                             path, owner_patience.count(), std::strerror(errno), path));
}

// A user's device may say that it is of a pool which is not his.
bool is_ours(const ublk::DeviceInfo& info) {
    return (info.flags & ublk::feature_unprivileged) == 0 || info.owner_uid == ::geteuid();
}

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
    TRY(open_queues(device_));
    TRY(control_.start(device_));
    return a_users_ ? await_owner(node()) : Result<>();
}

Result<> UblkDevice::add() {
    ublk::DeviceInfo wanted;
    server_.reactor.call(
        [&] { wanted.queues = static_cast<std::uint16_t>(server_.nbd.limits().threads); });
    wanted.depth = depth;
    wanted.io_bytes_max = static_cast<std::uint32_t>(io_max.n);
    wanted.flags = (options_.user_copy ? ublk::feature_user_copy : 0) | outliving;
    if (control_.offers(ublk::feature_unprivileged)) wanted.flags |= ublk::feature_unprivileged;
    wanted.server_flags = owner_;
    const ublk::DeviceInfo made = TRY(control_.add(wanted));
    use(made);
    // One that never becomes ours we cannot remove: who takes the pool once it has does that.
    if (a_users_) TRY(await_owner(ublk_server_node(made.device)));
    device_ = made.device;
    return control_.set_parameters(device_, ublk_parameters(disk_));
}

void UblkDevice::use(const ublk::DeviceInfo& info) {
    queue_count_ = info.queues;
    options_.depth = info.depth;
    options_.io_max = disk_.io_max = Bytes(info.io_bytes_max);
    options_.user_copy = (info.flags & ublk::feature_user_copy) != 0;
    outlives_server_ = (info.flags & outliving) == outliving;
    a_users_ = (info.flags & ublk::feature_unprivileged) != 0;
    options_.waits_for_space = !a_users_;
}

Result<> UblkDevice::recover(const LeftDevice& left) {
    use(TRY(control_.info(left.number)));
    const auto end = std::chrono::steady_clock::now() + recovery_patience;
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
        auto begun = control_.start_recovery(left.number);
        if (begun) break;
        if (begun.error().code != Errc::busy || std::chrono::steady_clock::now() > end)
            return begun;
    }
    auto recovered = open_queues(left.number);
    if (recovered) recovered = control_.end_recovery(left.number);
    if (recovered) device_ = left.number;
    else drop_queues();
    return recovered;
}

Result<> UblkDevice::open_queues(std::uint32_t device) {
    const std::string path = ublk_server_node(device);
    character_device_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!character_device_)
        return Error(Errc::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
    for (std::uint16_t number = 0; number < queue_count_; ++number)
        TRY(within(path, open_queue(number)));
    return {};
}

Result<> UblkDevice::open_queue(std::uint16_t number) {
    NbdClients* thread = nullptr;
    NbdExport* exported = nullptr;
    server_.reactor.call([&] {
        thread = &server_.nbd.clients_of_thread(number);
        exported = server_.nbd.exports().at(lv_id_).get();
    });
    Result<> opened;
    thread->reactor().call([&] {
        // Memory that this thread asks for must not wait for its own disks to be written.
        ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
        auto queue = UblkQueue::open(*thread, *exported, character_device_.get(), number, options_);
        if (queue) queues_.push_back({&thread->reactor(), std::move(*queue)});
        else opened = std::move(queue).error();
    });
    return opened;
}

Result<> UblkDevice::check_resize() const {
    if (control_.offers(ublk::feature_update_size)) return {};
    return Error(Errc::unsupported,
                 fmt::format("{} keeps its size: this kernel does not resize ublk devices (6.16 "
                             "does); deactivate the volume and activate it again",
                             node()));
}

// Once the driver has handed back all it had waiting, and the pool all it had taken.
Result<> UblkDevice::end_queue(Queue& queue) {
    const auto end = std::chrono::steady_clock::now() + queue_patience;
    for (bool ended = !queue.queue; !ended;
         std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
        queue.reactor->call([&] {
            queue.queue->run_once(false);
            ended = queue.queue->ended();
            if (ended) queue.queue.reset();
        });
        if (!ended && std::chrono::steady_clock::now() > end)
            return Error(Errc::busy, fmt::format("{}: its last requests do not end", node()));
    }
    return {};
}

// Of a device that has not begun to use them.
void UblkDevice::drop_queues() {
    for (Queue& queue : queues_) queue.reactor->call([&] { queue.queue.reset(); });
    queues_.clear();
    character_device_.reset();
}

Result<> UblkDevice::stop() {
    if (device_ == ublk::any_device) return {};
    TRY(control_.stop(device_));
    for (Queue& queue : queues_) TRY(end_queue(queue));
    queues_.clear();
    character_device_.reset();
    TRY(control_.remove(device_));
    device_ = ublk::any_device;
    return {};
}

UblkDevice::~UblkDevice() { ignore(stop(), "whoever takes the pool next removes what is left"); }

std::vector<LeftDevice> left_ublk(std::string_view pool_uuid) {
    std::vector<LeftDevice> left;
    std::error_code error;
    const std::filesystem::directory_iterator entries(known_devices, error);
    if (error || entries == std::filesystem::directory_iterator()) return left;
    auto control = UblkControl::open();
    if (!control) return left;
    for (const auto& entry : entries) {
        const auto device = device_number(entry.path().filename().string(), "ublkc");
        if (!device) continue;
        const auto info = control->info(*device);
        if (!info || !is_of_pool(info->server_flags, pool_uuid) || !is_ours(*info)) continue;
        left.push_back({DeviceKind::ublk, *device, ublk_node(*device),
                        volume_of(info->server_flags),
                        (info->flags & outliving) == outliving && info->state != ublk::state_dead});
    }
    return left;
}

Result<> remove_left_ublk(std::uint32_t device) {
    auto control = TRY(UblkControl::open());
    if (auto known = control.info(device); !known)
        return known.error().code == Errc::not_found ? Result<>() : std::move(known).error();
    TRY(control.stop(device));
    return control.remove(device);
}

}  // namespace thinvol
