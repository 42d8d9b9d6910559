// UblkDevice: a volume as /dev/ublkbN, whose queues are served by the pool's thread and those with
// lanes, one each as far as there are threads.
//
// Units       none
// Invariants  as KernelDevice
// Errors      as KernelDevice
// Threads     as KernelDevice
// Source      Linux Documentation/block/ublk.rst
#pragma once

#include "libvm/kernel_device.h"
#include "libvm/ublk_control.h"
#include "libvm/ublk_queue.h"

namespace thinvol {

class UblkDevice : public KernelDevice {
public:
    static Result<std::unique_ptr<KernelDevice>> make(const DeviceServer& server,
                                                      const ThinRow& volume,
                                                      const DevicePolicy& policy);
    ~UblkDevice() override;

    Result<> start() override;
    Result<> recover(const LeftDevice& left) override;
    std::string node() const override { return ublk_node(device_); }
    Result<> check_resize() const override;
    Result<> resize(Bytes size) override { return control_.update_size(device_, size); }
    Result<> stop() override;
    bool outlives_server() const override { return outlives_server_; }

private:
    struct Queue {
        Reactor* reactor;                  // of its thread
        std::unique_ptr<UblkQueue> queue;  // that thread's
    };
    UblkDevice(const DeviceServer& server, UblkControl control, const ThinRow& volume);
    Result<> add();
    void use(const ublk::DeviceInfo& info);
    Result<> open_queues(std::uint32_t device);
    Result<> open_queue(std::uint16_t number);
    Result<> end_queue(Queue& queue);
    void drop_queues();

    DeviceServer server_;
    UblkControl control_;
    std::int64_t lv_id_;
    DiskGeometry disk_;
    std::uint64_t owner_;
    std::uint32_t device_ = ublk::any_device;  // until the driver knows it
    UblkQueue::Options options_;
    std::uint16_t queue_count_ = 0;
    bool outlives_server_ = false;
    bool a_users_ = false;  // who is not root made it
    UniqueFd character_device_;
    std::vector<Queue> queues_;
};

// Whether the driver is there, and lets us use it.
bool ublk_works();
std::vector<LeftDevice> left_ublk(std::string_view pool_uuid);
Result<> remove_left_ublk(std::uint32_t device);

}  // namespace thinvol
