// NbdDevice: a volume as /dev/nbdN: the kernel's NBD client, attached to the pool's server.
//
// Its connections are socket pairs, one end of each is the kernel's from the start: there is
// nothing to negotiate, and no address that anybody else could reach.
//
// Units       none
// Invariants  as KernelDevice
// Errors      as KernelDevice
// Threads     as KernelDevice
// Source      Linux include/uapi/linux/nbd-netlink.h
#pragma once

#include <array>

#include "libvm/kernel_device.h"
#include "libvm/netlink.h"

namespace thinvol {

// What the kernel is told to attach.
struct NbdAttachment {
    Bytes size{};
    bool read_only = false;
    std::chrono::seconds dead_timeout{};
    std::chrono::seconds answer_timeout{};
    std::string owner;
    std::vector<int> sockets;
};
NetlinkMessage nbd_connect_message(std::uint16_t family, const NbdAttachment& wanted);
// Sockets in the place of those of a server that is gone.
NetlinkMessage nbd_reconnect_message(std::uint16_t family, std::uint32_t index,
                                     const NbdAttachment& wanted);
NetlinkMessage nbd_resize_message(std::uint16_t family, std::uint32_t index, std::string_view owner,
                                  Bytes size);

class NbdDevice : public KernelDevice {
public:
    static Result<std::unique_ptr<KernelDevice>> make(const DeviceServer& server,
                                                      const ThinRow& volume,
                                                      const DevicePolicy& policy);
    ~NbdDevice() override;

    Result<> start() override;
    Result<> recover(const LeftDevice& left) override;
    std::string node() const override { return "/dev/nbd" + std::to_string(index_); }
    Result<> check_resize() const override { return {}; }
    Result<> resize(Bytes size) override;
    Result<> stop() override;
    bool outlives_server() const override { return true; }

private:
    NbdDevice(const DeviceServer& server, GenericNetlink netlink, const ThinRow& volume,
              const DevicePolicy& policy);
    Result<> connect();
    Result<> reconnect(std::size_t wanted);
    Result<std::vector<UniqueFd>> make_sockets(std::size_t count, std::vector<UniqueFd>& theirs);
    Result<> find_partitions() const;
    std::uint32_t attached() const;

    DeviceServer server_;
    GenericNetlink netlink_;
    std::int64_t lv_id_;
    NbdAttachment wanted_;
    unsigned wanted_connections_;
    std::uint32_t index_ = 0;
    bool connected_ = false;
};

std::vector<LeftDevice> left_nbd(std::string_view pool_uuid);
Result<> remove_left_nbd(std::uint32_t index);

}  // namespace thinvol
