// UblkControl: commands to the kernel's ublk driver, one after the other.
//
// What root makes is root's. Anybody else makes devices if he may open the driver's node; then udev
// has to make theirs his (ublk_owner.h), and only he and root can open them.
//
// Units       none
// Invariants  none
// Errors      unsupported: the driver is not there, and the way out; io_error, busy: what it said
// Threads     one at a time; start() returns once the queue's thread has fetched, and its requests
//             for partitions are answered: never called on that thread
// Source      Linux Documentation/block/ublk.rst
#pragma once

#include <memory>
#include <string>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/base/units.h"
#include "libvm/ublk_abi.h"

struct io_uring;

namespace thinvol {

class UblkControl {
public:
    static Result<UblkControl> open();

    bool offers(std::uint64_t feature) const { return (features_ & feature) != 0; }
    // The kernel is so old that commands have their first form.
    bool legacy() const { return legacy_; }

    // With as much of what is wanted as the driver gives whom asks.
    Result<ublk::DeviceInfo> add(ublk::DeviceInfo wanted);
    // To be asked of one that others made before any other command to it.
    Result<ublk::DeviceInfo> info(std::uint32_t device);
    Result<> set_parameters(std::uint32_t device, ublk::Parameters parameters);
    // /dev/ublkbN is there, its partitions scanned.
    Result<> start(std::uint32_t device);
    // Of one whose server is gone, another's queues may come, and have come. busy: not yet, the
    // process is not wholly gone.
    Result<> start_recovery(std::uint32_t device);
    Result<> end_recovery(std::uint32_t device);
    // It is gone; what was in flight has ended. Already so: nothing happens.
    Result<> stop(std::uint32_t device);
    Result<> remove(std::uint32_t device);
    Result<> update_size(std::uint32_t device, Bytes size);

private:
    struct Close {
        void operator()(io_uring* ring) const;
    };
    UblkControl() = default;
    Result<> find_features();
    // 0 or a negative errno.
    int send(ublk::Control command, const ublk::ControlCommand& with);
    int send_as_is(ublk::Control command, const ublk::ControlCommand& with);
    int send_by_path(ublk::Control command, ublk::ControlCommand with);
    Result<> ask(ublk::Control command, const ublk::ControlCommand& with, std::string_view what);

    UniqueFd fd_;
    std::unique_ptr<io_uring, Close> ring_;
    std::uint64_t features_ = 0;
    bool legacy_ = false;
    std::uint32_t by_path_ = ublk::any_device;  // one that a user made
};

inline std::string ublk_node(std::uint32_t device) { return "/dev/ublkb" + std::to_string(device); }
inline std::string ublk_server_node(std::uint32_t device) {
    return "/dev/ublkc" + std::to_string(device);
}

}  // namespace thinvol
