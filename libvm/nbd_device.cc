#include "libvm/nbd_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nbd-netlink.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "libvm/nbd_protocol.h"

namespace thinvol {
namespace {

constexpr std::string_view no_driver =
    "the kernel's NBD driver is not there: modprobe nbd; --export nbd goes without";
constexpr std::uint64_t block_bytes = 512;  // whatever a partition table was written for
constexpr int socket_bytes = 4 << 20;
constexpr auto patience = std::chrono::seconds(10);

Result<GenericNetlink> open_netlink() { return GenericNetlink::open("nbd", no_driver); }

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
    message.add(NBD_ATTR_DEAD_CONN_TIMEOUT,
                static_cast<std::uint64_t>(wanted.dead_timeout.count()));
    message.add(NBD_ATTR_BACKEND_IDENTIFIER, wanted.owner);
    const std::size_t sockets = message.begin(NBD_ATTR_SOCKETS);
    for (const int fd : wanted.sockets) {
        const std::size_t item = message.begin(NBD_SOCK_ITEM);
        message.add(NBD_SOCK_FD, static_cast<std::uint32_t>(fd));
        message.end(item);
    }
    message.end(sockets);
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
              nbd_owner(server.pool_uuid, volume.thin_id),
              {}},
      wanted_connections_(policy.connections) {}

Result<std::unique_ptr<KernelDevice>> NbdDevice::make(const DeviceServer& server,
                                                      const ThinRow& volume,
                                                      const DevicePolicy& policy) {
    return std::unique_ptr<NbdDevice>(new NbdDevice(server, TRY(open_netlink()), volume, policy));
}

Result<> NbdDevice::start() {
    TRY(connect());
    return find_partitions();
}

Result<> NbdDevice::connect() {
    std::vector<UniqueFd> theirs;
    for (unsigned i = 0; i < wanted_connections_; ++i) {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
            return Error(Errc::io_error, fmt::format("socketpair: {}", std::strerror(errno)));
        UniqueFd ours(pair[0]);
        theirs.emplace_back(pair[1]);
        for (const int fd : pair) {
            ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
            ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &socket_bytes, sizeof socket_bytes);
        }
        wanted_.sockets.push_back(pair[1]);
        server_.reactor.call([&] { server_.nbd.attach(lv_id_, std::move(ours)); });
    }
    const auto answer = TRY(netlink_.ask(nbd_connect_message(netlink_.family(), wanted_),
                                         "attaching the kernel's NBD client"));
    wanted_.sockets.clear();
    const auto attributes = netlink_attributes(answer);
    const auto index = attributes.find(NBD_ATTR_INDEX);
    if (index == attributes.end() || index->second.size() < sizeof index_)
        return Error(Errc::io_error, "the kernel's NBD client does not say which device it is");
    std::memcpy(&index_, index->second.data(), sizeof index_);
    connected_ = true;
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

std::vector<std::string> remove_left_nbd(std::string_view pool_uuid) {
    std::vector<std::string> removed;
    std::optional<GenericNetlink> netlink;
    std::error_code error;
    for (std::filesystem::directory_iterator it("/sys/block", error), end; !error && it != end;
         it.increment(error)) {
        constexpr std::string_view prefix = "nbd";
        const std::string name = it->path().filename().string();
        std::ifstream in(it->path() / "backend");
        std::string owner;
        std::uint32_t index = 0;
        if (!name.starts_with(prefix) || !std::getline(in, owner) ||
            !is_of_pool(owner, pool_uuid) ||
            std::from_chars(name.data() + prefix.size(), name.data() + name.size(), index).ec !=
                std::errc())
            continue;
        if (!netlink) {
            auto opened = open_netlink();
            if (!opened) return removed;
            netlink.emplace(std::move(*opened));
        }
        if (disconnect(*netlink, index)) removed.push_back("/dev/" + name);
    }
    return removed;
}

}  // namespace thinvol
