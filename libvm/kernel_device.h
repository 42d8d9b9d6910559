// KernelDevice: a block device of this host behind which is a volume of a pool that is served here.
//
// Units       bytes
// Invariants  (1) as long as the object lives the volume stays exported
// Errors      of what makes one: unsupported where the kernel lacks the driver, with the way out
// Threads     made, resized and stopped by one thread that is not the reactor's: the kernel reads
//             from the device meanwhile; recover() may be the reactor's
// Source      none
#pragma once

#include <cstdint>
#include <optional>
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

// A device of a pool whose server is gone, or goes on as another program.
struct LeftDevice {
    DeviceKind kind{};
    std::uint32_t number = 0;
    std::string node;  // "/dev/ublkb0"
    ThinId thin_id{};
    bool recoverable = false;  // whoever uses it sees a pause, and no error
    Bytes size{};              // as the kernel has it
    bool read_only = false;
};

class KernelDevice {
public:
    virtual ~KernelDevice() = default;
    // The volume is exported, and its threads run. The node is there then, with its partitions.
    virtual Result<> start() = 0;
    // Instead: goes on with one that is left, which stays as it is if that fails. Waits until the
    // process that served it is wholly gone.
    virtual Result<> recover(const LeftDevice& left) = 0;
    virtual std::string node() const = 0;  // "/dev/ublkb0"
    // While it is in use; unsupported: only a new device has the new size.
    virtual Result<> check_resize() const = 0;
    virtual Result<> resize(Bytes size) = 0;
    // Once it was started: who uses it is held back until another server goes on with it.
    virtual bool outlives_server() const = 0;
    // The device is gone, and nothing of it in flight.
    virtual Result<> stop() = 0;
};

// 7 of "nbd7", where the prefix is "nbd".
std::optional<std::uint32_t> device_number(std::string_view name, std::string_view prefix);
// As the driver gets to know whose a device is: of which pool, and which volume in it.
std::uint64_t ublk_owner(std::string_view pool_uuid, ThinId thin_id);
bool is_of_pool(std::uint64_t ublk_owner, std::string_view pool_uuid);
ThinId volume_of(std::uint64_t ublk_owner);
std::string nbd_owner(std::string_view pool_uuid, ThinId thin_id);
bool is_of_pool(std::string_view nbd_owner, std::string_view pool_uuid);
std::optional<ThinId> volume_of(std::string_view nbd_owner);

}  // namespace thinvol
