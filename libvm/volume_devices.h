// VolumeDevices: the block devices of a pool's active volumes, with their links.
//
// Units       bytes
// Invariants  (1) a volume has one at most, and is exported as long as it has one
//             (2) one that is in use is not taken away
// Errors      busy: by whom; unsupported: the kernel lacks the driver, and the way out
// Threads     one at a time, not the reactor's, but before that runs; what is said to be the
//             reactor's apart
// Source      none
#pragma once

#include <map>

#include "libvm/kernel_device.h"

namespace thinvol {

class VolumeDevices {
public:
    VolumeDevices(DeviceServer server, Session& session);

    // What the server before left, and nobody goes on with yet.
    const std::vector<LeftDevice>& left() const { return left_; }
    bool is_left(const ThinRow& volume) const { return left_of(volume) != left_.end(); }
    // Goes on with one, as what it is; what it differs in from what it would be now, in words.
    Result<std::vector<std::string>> recover(const ThinRow& volume, const DevicePolicy& policy);
    // Of a volume that is gone, or that nobody can go on with.
    Result<> remove_left(const LeftDevice& left);
    // From then on the volume has a device of that kind, or none.
    Result<> set(const ThinRow& volume, DeviceKind kind, const DevicePolicy& policy);
    Result<> check_unused(std::int64_t lv_id);
    Result<> remove(std::int64_t lv_id);
    // In use or not; where the server is to end.
    void remove_all();
    // Its name, its size or who may write changed: what cannot follow, in words.
    std::vector<std::string> update(const ThinRow& volume);
    Result<> check_resize(std::int64_t lv_id);
    // busy: one would end with this program, whatever comes after it.
    Result<> check_outlives() const;

    // --- the reactor's
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
    std::vector<LeftDevice>::const_iterator left_of(const ThinRow& volume) const;
    Result<> make_link(const ThinRow& volume);
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
    std::vector<LeftDevice> left_;
};

}  // namespace thinvol
