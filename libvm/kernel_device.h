// KernelDevice: a block device of this host behind which is a volume of a pool that is served here.
//
// Units       bytes
// Invariants  (1) as long as the object lives the volume stays exported
// Errors      of what makes one: unsupported where the kernel lacks the driver, with the way out
// Threads     made, resized and stopped by one thread that is not the reactor's: the kernel reads
//             from the device meanwhile; run_once() is the reactor's
// Source      none
#pragma once

#include <cstdint>
#include <string>

#include "engine/pool.h"
#include "libvm/device_policy.h"
#include "libvm/nbd_server.h"
#include "libvm/reactor.h"

namespace thinvol {

// What serves a pool's devices.
struct DeviceServer {
    Reactor& reactor;
    Pool& pool;
    NbdServer& nbd;
    std::string pool_uuid;
};

class KernelDevice {
public:
    virtual ~KernelDevice() = default;
    // The volume is exported, and run_once() is called meanwhile. The node is there then, with its
    // partitions.
    virtual Result<> start() = 0;
    virtual std::string node() const = 0;  // "/dev/ublkb0"
    // While it is in use; unsupported: only a new device has the new size.
    virtual Result<> check_resize() const = 0;
    virtual Result<> resize(Bytes size) = 0;
    // The device is gone, and nothing of it in flight.
    virtual Result<> stop() = 0;
    virtual bool run_once() { return false; }
    virtual void tick() {}
};

// As the driver gets to know whose a device is: of which pool, and which volume in it.
std::uint64_t ublk_owner(std::string_view pool_uuid, ThinId thin_id);
bool is_of_pool(std::uint64_t ublk_owner, std::string_view pool_uuid);
std::string nbd_owner(std::string_view pool_uuid, ThinId thin_id);
bool is_of_pool(std::string_view nbd_owner, std::string_view pool_uuid);

}  // namespace thinvol
