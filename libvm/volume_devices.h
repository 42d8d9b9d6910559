// VolumeDevices: the block devices of a pool's active volumes, with their links.
//
// Units       bytes
// Invariants  (1) a volume has one at most, and is exported as long as it has one
//             (2) one that is in use is not taken away
// Errors      busy: by whom; unsupported: the kernel lacks the driver, and the way out
// Threads     one at a time, not the reactor's; what is said to be the reactor's apart
// Source      none
#pragma once

#include <map>

#include "libvm/kernel_device.h"

namespace thinvol {

class VolumeDevices {
public:
    VolumeDevices(DeviceServer server, Session& session)
        : server_(std::move(server)), session_(session) {}

    // From then on the volume has a device of that kind, or none.
    Result<> set(const ThinRow& volume, DeviceKind kind, const DevicePolicy& policy);
    Result<> check_unused(std::int64_t lv_id);
    Result<> remove(std::int64_t lv_id);
    // In use or not; where the server is to end.
    void remove_all();
    // Its name, its size or who may write changed: what cannot follow, in words.
    std::vector<std::string> update(const ThinRow& volume);
    Result<> check_resize(std::int64_t lv_id);

    // --- the reactor's
    bool run_once();
    void tick();
    bool none() const { return devices_.empty(); }
    std::string node(std::int64_t lv_id) const;  // empty: none, or not yet

private:
    struct Attached {
        DeviceKind kind{};
        std::string name;
        std::unique_ptr<KernelDevice> device;
        std::filesystem::path link;
        Bytes size{};
        bool read_only = false;
    };
    Result<std::filesystem::path> link_of(const ThinRow& volume);
    Attached* find(std::int64_t lv_id);
    Result<> take_away(std::int64_t lv_id);
    template <class Body>
    void there(Body&& body) {
        server_.reactor.call(body);
    }

    DeviceServer server_;
    Session& session_;                          // of who asks for requests
    std::map<std::int64_t, Attached> devices_;  // changed by the reactor
};

// Sockets, block devices and links that a pool's server left which was killed. For who holds the
// pool's lock.
void remove_left_overs(const Environment& environment, const std::string& pool_uuid);

}  // namespace thinvol
