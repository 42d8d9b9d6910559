#include "libvm/nbd_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nbd-netlink.h>
#include <sys/socket.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "libvm/nbd_protocol.h"
#include "libvm/privileges.h"

namespace thinvol {
namespace {

constexpr std::string_view no_driver =
    "the kernel's NBD driver is not there: modprobe nbd; --export nbd goes without";
constexpr std::uint64_t block_bytes = 512;  // whatever a partition table was written for
constexpr auto patience = std::chrono::seconds(10);
constexpr auto reconnect_patience = std::chrono::seconds(5);
const std::filesystem::path disks = "/sys/block";

Result<GenericNetlink> open_netlink() { return GenericNetlink::open("nbd", no_driver); }

void add_sockets(NetlinkMessage& message, const std::vector<int>& sockets) {
    const std::size_t all = message.begin(NBD_ATTR_SOCKETS);
    for (const int fd : sockets) {
        const std::size_t item = message.begin(NBD_SOCK_ITEM);
        message.add(NBD_SOCK_FD, static_cast<std::uint32_t>(fd));
        message.end(item);
    }
    message.end(all);
}

// Whether anybody has the other end.
bool is_connected(int socket) {
    char byte = 0;
    return ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

// As many as the device has queues.
std::size_t connections_of(std::uint32_t index) {
    std::error_code error;
    const std::filesystem::directory_iterator queues(disks / fmt::format("nbd{}", index) / "mq",
                                                     error);
    return error ? 0 : static_cast<std::size_t>(std::distance(begin(queues), end(queues)));
}

Result<> disconnect(GenericNetlink& netlink, std::uint32_t index) {
    NetlinkMessage message(netlink.family(), NBD_CMD_DISCONNECT, NBD_GENL_VERSION);
    message.add(NBD_ATTR_INDEX, index);
    TRY(netlink.ask(std::move(message), fmt::format("disconnecting /dev/nbd{}", index)));
    return {};
}

}  // namespace

NetlinkMessage nbd_connect_message(std::uint16_t family, const NbdAttachment& wanted) {
    constexpr std::uint64_t flags = nbd::has_flags | nbd::send_flush | nbd::send_fua |
                                    nbd::send_trim | nbd::send_write_zeroes | nbd::can_multi_conn;
    NetlinkMessage message(family, NBD_CMD_CONNECT, NBD_GENL_VERSION);
    message.add(NBD_ATTR_SIZE_BYTES, wanted.size.n);
    message.add(NBD_ATTR_BLOCK_SIZE_BYTES, block_bytes);
    message.add(NBD_ATTR_SERVER_FLAGS, flags | (wanted.read_only ? nbd::read_only : 0U));
    message.add(NBD_ATTR_TIMEOUT, static_cast<std::uint64_t>(wanted.answer_timeout.count()));
    message.add(NBD_ATTR_DEAD_CONN_TIMEOUT,
                static_cast<std::uint64_t>(wanted.dead_timeout.count()));
    message.add(NBD_ATTR_BACKEND_IDENTIFIER, wanted.owner);
    add_sockets(message, wanted.sockets);
    return message;
}

NetlinkMessage nbd_reconnect_message(std::uint16_t family, std::uint32_t index,
                                     const NbdAttachment& wanted) {
    NetlinkMessage message(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION);
    message.add(NBD_ATTR_INDEX, index);
    message.add(NBD_ATTR_DEAD_CONN_TIMEOUT,
                static_cast<std::uint64_t>(wanted.dead_timeout.count()));
    message.add(NBD_ATTR_BACKEND_IDENTIFIER, wanted.owner);
    add_sockets(message, wanted.sockets);
    return message;
}

NetlinkMessage nbd_resize_message(std::uint16_t family, std::uint32_t index, std::string_view owner,
                                  Bytes size) {
    NetlinkMessage message(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION);
    message.add(NBD_ATTR_INDEX, index);
    message.add(NBD_ATTR_BACKEND_IDENTIFIER, owner);
    message.add(NBD_ATTR_SIZE_BYTES, size.n);
    return message;
}

NbdDevice::NbdDevice(const DeviceServer& server, GenericNetlink netlink, const ThinRow& volume,
                     const DevicePolicy& policy)
    : server_(server),
      netlink_(std::move(netlink)),
      lv_id_(volume.lv.id),
      wanted_{volume.size,
              volume.lv.read_only,
              policy.dead_timeout,
              policy.answer_timeout,
              nbd_owner(server.pool_uuid, volume.thin_id),
              {}},
      wanted_connections_(policy.connections) {}

Result<std::unique_ptr<KernelDevice>> NbdDevice::make(const DeviceServer& server,
                                                      const ThinRow& volume,
                                                      const DevicePolicy& policy) {
    GenericNetlink netlink = TRY(open_netlink());
    TRY(check_right_to_devices());
    return std::unique_ptr<NbdDevice>(new NbdDevice(server, std::move(netlink), volume, policy));
}

Result<> NbdDevice::start() {
    TRY(connect());
    return find_partitions();
}

Result<> NbdDevice::connect() {
    std::vector<UniqueFd> theirs;
    for (UniqueFd& ours : TRY(make_sockets(wanted_connections_, theirs)))
        server_.reactor.call([&] { server_.nbd.attach(lv_id_, std::move(ours)); });
    const auto answer = TRY(netlink_.ask(nbd_connect_message(netlink_.family(), wanted_),
                                         "attaching the kernel's NBD client"));
    const auto attributes = netlink_attributes(answer);
    const auto index = attributes.find(NBD_ATTR_INDEX);
    if (index == attributes.end() || index->second.size() < sizeof index_)
        return Error(Errc::io_error, "the kernel's NBD client does not say which device it is");
    std::memcpy(&index_, index->second.data(), sizeof index_);
    connected_ = true;
    return {};
}

// Our ends; theirs are what the kernel is offered.
Result<std::vector<UniqueFd>> NbdDevice::make_sockets(std::size_t count,
                                                      std::vector<UniqueFd>& theirs) {
    std::vector<UniqueFd> ours;
    wanted_.sockets.clear();
    for (std::size_t i = 0; i < count; ++i) {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
            return Error(Errc::io_error, fmt::format("socketpair: {}", std::strerror(errno)));
        ours.emplace_back(pair[0]);
        theirs.emplace_back(pair[1]);
        for (const int fd : pair) enlarge_buffers(fd);
        wanted_.sockets.push_back(pair[1]);
    }
    return ours;
}

// A server that was killed takes its connections with it, one that goes on as another program has
// them still.
Result<> NbdDevice::recover(const LeftDevice& left) {
    index_ = left.number;
    const std::size_t wanted = connections_of(index_);
    const auto end = std::chrono::steady_clock::now() + reconnect_patience;
    while (attached() < wanted && std::chrono::steady_clock::now() < end) {
        TRY(reconnect(wanted - attached()));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    connected_ = attached() > 0;  // the kernel makes do with one
    if (connected_) return {};
    return Error(Errc::busy, fmt::format("{}: the kernel takes no new connections", node()));
}

// The kernel takes as many as it knows to be dead, and does not say how many that is.
Result<> NbdDevice::reconnect(std::size_t wanted) {
    std::vector<UniqueFd> theirs;
    auto ours = TRY(make_sockets(wanted, theirs));
    TRY(netlink_.ask(nbd_reconnect_message(netlink_.family(), index_, wanted_),
                     fmt::format("reconnecting {}", node())));
    theirs.clear();
    for (UniqueFd& socket : ours) {
        if (is_connected(socket.get()))
            server_.reactor.call([&] { server_.nbd.attach(lv_id_, std::move(socket)); });
    }
    return {};
}

// The kernel looks for them when the device is opened first.
Result<> NbdDevice::find_partitions() const {
    const UniqueFd fd(::open(node().c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error(Errc::io_error, fmt::format("{}: {}", node(), std::strerror(errno)));
    return {};
}

Result<> NbdDevice::resize(Bytes size) {
    TRY(netlink_.ask(nbd_resize_message(netlink_.family(), index_, wanted_.owner, size),
                     fmt::format("resizing {}", node())));
    return {};
}

std::uint32_t NbdDevice::attached() const {
    std::uint32_t count = 0;
    server_.reactor.call([&] { count = server_.nbd.attached(lv_id_); });
    return count;
}

// Until the server has seen its connections end.
Result<> NbdDevice::stop() {
    if (connected_) {
        auto outcome = disconnect(netlink_, index_);
        if (!outcome && outcome.error().code != Errc::not_found) return outcome;
        connected_ = false;
    }
    const auto end = std::chrono::steady_clock::now() + patience;
    while (attached() > 0) {
        if (std::chrono::steady_clock::now() > end)
            return Error(Errc::busy, fmt::format("{}: its last requests do not end", node()));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return {};
}

NbdDevice::~NbdDevice() { ignore(stop(), "whoever takes the pool next removes what is left"); }

std::vector<LeftDevice> left_nbd(std::string_view pool_uuid) {
    std::vector<LeftDevice> left;
    std::error_code error;
    for (std::filesystem::directory_iterator it(disks, error), end; !error && it != end;
         it.increment(error)) {
        const std::string name = it->path().filename().string();
        const auto index = device_number(name, "nbd");
        std::ifstream in(it->path() / "backend");
        std::string owner;
        if (!index || !std::getline(in, owner) || !is_of_pool(owner, pool_uuid)) continue;
        const auto volume = volume_of(owner);
        left.push_back({DeviceKind::nbd, *index, "/dev/" + name, volume.value_or(ThinId()),
                        volume.has_value()});
    }
    return left;
}

Result<> remove_left_nbd(std::uint32_t index) {
    auto netlink = TRY(open_netlink());
    return disconnect(netlink, index);
}

}  // namespace thinvol
