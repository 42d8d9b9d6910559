#include "libvm/ublk_control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "engine/base/assert.h"
#include "libvm/device_users.h"
#include "libvm/privileges.h"

namespace thinvol {
namespace {

constexpr const char* node = "/dev/ublk-control";
constexpr unsigned entries = 4;
constexpr auto removal_patience = std::chrono::seconds(1);  // while nobody has it open, no time
constexpr std::uint64_t own_mark = 1;

Error no_driver(int number) {
    const char* way = number == ENOENT || number == ENODEV || number == ENXIO
                          ? "the kernel's ublk driver is not there: modprobe ublk_drv (Linux 6.0 "
                            "or later)"
                          : "root makes ublk devices, and who may open that (see README, ublk)";
    return {Errc::unsupported,
            fmt::format("{}: {}: {}; --export nbd goes without", node, std::strerror(number), way)};
}

Error refused(std::uint32_t device, std::string_view what, int e) {
    const std::string name = device == ublk::any_device ? "a ublk device" : ublk_node(device);
    return {e == -EBUSY    ? Errc::busy
            : e == -ENODEV ? Errc::not_found
                           : Errc::io_error,
            fmt::format("{}: {}: {}", name, what, std::strerror(-e))};
}

template <class T>
std::uint64_t address_of(T& object) {
    return reinterpret_cast<std::uint64_t>(&object);
}

}  // namespace

void UblkControl::Close::operator()(io_uring* ring) const {
    io_uring_queue_exit(ring);
    delete ring;
}

Result<UblkControl> UblkControl::open() {
    UblkControl control;
    control.fd_ = UniqueFd(::open(node, O_RDWR | O_CLOEXEC));
    if (!control.fd_) return no_driver(errno);
    TRY(check_right_to_devices());
    // Its commands are longer than a usual entry of a ring has room for.
    auto ring = std::make_unique<io_uring>();
    if (const int e = io_uring_queue_init(entries, ring.get(), IORING_SETUP_SQE128); e < 0) {
        return Error(Errc::unsupported,
                     fmt::format("io_uring, which ublk needs: {} (sysctl kernel.io_uring_disabled, "
                                 "or a sandbox); --export nbd goes without",
                                 std::strerror(-e)));
    }
    control.ring_.reset(ring.release());
    TRY(control.find_features());
    if (::geteuid() != 0 && !control.offers(ublk::feature_unprivileged)) {
        return Error(Errc::unsupported,
                     "this kernel's ublk devices are root's, those of 6.5 on need not be; "
                     "--export nbd goes without");
    }
    return control;
}

Result<> UblkControl::find_features() {
    ublk::ControlCommand command;
    command.address = address_of(features_);
    command.length = sizeof features_;
    const int e = send(ublk::Control::features, command);
    if (e == 0) return {};
    features_ = 0;
    // Before 6.5 nobody could ask. The forms of the commands are told apart by one that fails for
    // another reason where it is understood: there is no such device.
    command.device = ublk::any_device - 1;
    const int told = send(ublk::Control::stop_device, command);
    legacy_ = told == -EOPNOTSUPP || told == -EINVAL || told == -ENOTTY;
    if (e == -EPERM || e == -EACCES) return no_driver(-e);
    return {};
}

int UblkControl::send(ublk::Control command, const ublk::ControlCommand& with) {
    return with.device != ublk::any_device && with.device == by_path_ ? send_by_path(command, with)
                                                                      : send_as_is(command, with);
}

int UblkControl::send_by_path(ublk::Control command, ublk::ControlCommand with) {
    void* const rest = std::bit_cast<void*>(with.address);
    const std::size_t length = with.length;
    std::string text = ublk_server_node(with.device);
    with.path_length = static_cast<std::uint16_t>(text.size());
    if (length > 0) text.append(static_cast<const char*>(rest), length);
    with.address = reinterpret_cast<std::uint64_t>(text.data());
    with.length = static_cast<std::uint16_t>(text.size());
    const int result = send_as_is(command, with);
    if (length > 0) std::memcpy(rest, text.data() + with.path_length, length);
    return result;
}

int UblkControl::send_as_is(ublk::Control command, const ublk::ControlCommand& with) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
    ASSERT(sqe != nullptr);  // one is under way at a time
    std::memset(sqe, 0, 2 * sizeof *sqe);
    const auto code = static_cast<std::uint32_t>(command);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = fd_.get();
    sqe->cmd_op = legacy_ ? ublk::legacy(code) : code;
    std::memcpy(sqe->cmd, &with, sizeof with);
    sqe->user_data = own_mark;
    // The one command that waits for others.
    __kernel_timespec limit{removal_patience.count(), 0};
    const unsigned all = command == ublk::Control::remove_device ? 2 : 1;
    if (all > 1) {
        sqe->flags |= IOSQE_IO_LINK;
        io_uring_sqe* timer = io_uring_get_sqe(ring_.get());
        ASSERT(timer != nullptr);
        std::memset(timer, 0, 2 * sizeof *timer);
        io_uring_prep_link_timeout(timer, &limit, 0);
    }
    int submitted = 0;
    do {
        submitted = io_uring_submit_and_wait(ring_.get(), all);
    } while (submitted == -EINTR || submitted == -EAGAIN);
    if (submitted < 0) return submitted;
    int result = 0;
    for (unsigned n = 0; n < all; ++n) {
        io_uring_cqe* cqe = nullptr;
        int waited = 0;
        while ((waited = io_uring_wait_cqe(ring_.get(), &cqe)) == -EINTR) {}
        if (waited < 0) return waited;
        if (cqe->user_data == own_mark) result = cqe->res;
        io_uring_cqe_seen(ring_.get(), cqe);
    }
    return result;
}

Result<> UblkControl::ask(ublk::Control command, const ublk::ControlCommand& with,
                          std::string_view what) {
    const int e = send(command, with);
    if (e >= 0) return {};
    return refused(with.device, what, e);
}

Result<ublk::DeviceInfo> UblkControl::add(ublk::DeviceInfo wanted) {
    ublk::ControlCommand command;
    command.device = wanted.device;
    command.address = address_of(wanted);
    command.length = sizeof wanted;
    int e = send(ublk::Control::add_device, command);
    if (e == -EINVAL && (wanted.flags & ublk::feature_user_copy) != 0) {
        wanted.flags &= ~ublk::feature_user_copy;  // root's alone
        e = send(ublk::Control::add_device, command);
    }
    if (e == -EACCES) return refused(command.device, "there are as many as ublks_max allows", e);
    if (e < 0) return refused(command.device, "adding it", e);
    if ((wanted.flags & ublk::feature_unprivileged) != 0) by_path_ = wanted.device;
    return wanted;
}

Result<ublk::DeviceInfo> UblkControl::info(std::uint32_t device) {
    ublk::DeviceInfo found;
    ublk::ControlCommand command;
    command.device = device;
    command.address = address_of(found);
    command.length = sizeof found;
    int e = send_as_is(ublk::Control::device_info, command);
    if (e < 0 && offers(ublk::feature_unprivileged))
        e = send_by_path(ublk::Control::device_info_by_path, command);
    if (e < 0) return refused(device, "asking what it is", e);
    if ((found.flags & ublk::feature_unprivileged) != 0) by_path_ = device;
    return found;
}

Result<> UblkControl::set_parameters(std::uint32_t device, ublk::Parameters parameters) {
    parameters.length = ublk::parameters_bytes;
    ublk::ControlCommand command;
    command.device = device;
    command.address = address_of(parameters);
    command.length = sizeof parameters;
    return ask(ublk::Control::set_parameters, command, "setting its parameters");
}

Result<> UblkControl::start(std::uint32_t device) {
    ublk::ControlCommand command;
    command.device = device;
    command.data = static_cast<std::uint64_t>(::getpid());
    return ask(ublk::Control::start_device, command, "starting it");
}

Result<> UblkControl::start_recovery(std::uint32_t device) {
    ublk::ControlCommand command;
    command.device = device;
    const int e = send(ublk::Control::start_recovery, command);
    // Also what a server began that was killed before its queues came.
    if (e >= 0 || e == -EINVAL) return {};
    return refused(device, "taking it over", e);
}

Result<> UblkControl::end_recovery(std::uint32_t device) {
    ublk::ControlCommand command;
    command.device = device;
    command.data = static_cast<std::uint64_t>(::getpid());
    return ask(ublk::Control::end_recovery, command, "going on with it");
}

Result<> UblkControl::stop(std::uint32_t device) {
    ublk::ControlCommand command;
    command.device = device;
    auto stopped = ask(ublk::Control::stop_device, command, "stopping it");
    return !stopped && stopped.error().code == Errc::not_found ? Result<>() : std::move(stopped);
}

Result<> UblkControl::remove(std::uint32_t device) {
    ublk::ControlCommand command;
    command.device = device;
    int e = send(ublk::Control::remove_device_later, command);
    if (e == -EOPNOTSUPP || e == -EINVAL) {
        // Only one that nobody has mounted: the other command would wait for him.
        if (!device_users(ublk_node(device)).empty())
            return Error(Errc::busy, fmt::format("{} is still mounted", ublk_node(device)));
        e = send(ublk::Control::remove_device, command);
    }
    // Who has it open keeps its number, and no more of it.
    if (e < 0 && e != -ENODEV && e != -EINTR)
        return Error(Errc::io_error,
                     fmt::format("{}: removing it: {}", ublk_node(device), std::strerror(-e)));
    const std::string path = ublk_server_node(device);
    const auto end = std::chrono::steady_clock::now() + removal_patience;
    while (::access(path.c_str(), F_OK) == 0 && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return {};
}

Result<> UblkControl::update_size(std::uint32_t device, Bytes size) {
    if (!offers(ublk::feature_update_size)) {
        return Error(Errc::unsupported,
                     fmt::format("{}: this kernel does not resize ublk devices, 6.16 does",
                                 ublk_node(device)));
    }
    ublk::ControlCommand command;
    command.device = device;
    command.data = size.n / sector_bytes;
    return ask(ublk::Control::update_size, command, "resizing it");
}

}  // namespace thinvol
