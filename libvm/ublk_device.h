// UblkDevice: a volume as /dev/ublkbN, its requests served by the pool's reactor.
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
    std::string node() const override { return ublk_node(device_); }
    Result<> check_resize() const override;
    Result<> resize(Bytes size) override { return control_.update_size(device_, size); }
    Result<> stop() override;
    bool run_once() override { return queue_ && queue_->run_once(); }
    void tick() override {
        if (queue_) queue_->tick();
    }

private:
    UblkDevice(const DeviceServer& server, UblkControl control, const ThinRow& volume);
    Result<> add();
    Result<> open_queue();
    Result<> end_queue();

    DeviceServer server_;
    UblkControl control_;
    std::int64_t lv_id_;
    DiskGeometry disk_;
    std::uint64_t owner_;
    std::uint32_t device_ = ublk::any_device;  // until the driver knows it
    UblkQueue::Options options_;
    std::unique_ptr<UblkQueue> queue_;  // the reactor's
};

// Whether the driver is there, and lets us use it.
bool ublk_works();
// Removes the devices of a pool whose server is gone; their nodes.
std::vector<std::string> remove_left_ublk(std::string_view pool_uuid);

}  // namespace thinvol
