// BorrowedDevice: a volume's block device, for a command that works on its file system: the one it
// has, or one for the time of the command where it is not active.
//
// Units       bytes
// Invariants  how the volume is exported otherwise stays as it was set; a command that is killed
//             leaves it active
// Errors      busy: it is active without a device, so its file system is in others' hands;
//             unsupported: this host makes no block devices, and why
// Threads     one
// Source      none
#pragma once

#include "libvm/volumes.h"

namespace thinvol {

class BorrowedDevice {
public:
    static Result<BorrowedDevice> open(Session& session, const GroupRow& group,
                                       const ThinRow& volume);
    BorrowedDevice(BorrowedDevice&& other) noexcept
        : session_(other.session_),
          pool_(std::move(other.pool_)),
          lv_id_(other.lv_id_),
          node_(std::move(other.node_)),
          made_(std::exchange(other.made_, false)) {}
    BorrowedDevice& operator=(BorrowedDevice&&) = delete;
    ~BorrowedDevice() { ignore(give_back(), "a device is left, which tvs shows"); }

    const std::string& node() const { return node_; }
    Bytes size() const;
    // For this command.
    bool made() const { return made_; }
    // While it is in use; unsupported: only a new device has the new size.
    Result<> check_resizable() const;
    // It is no device any more, if it was made; already so: nothing happens.
    Result<> give_back();

private:
    BorrowedDevice(Session& session, PoolRow pool, std::int64_t lv_id)
        : session_(session), pool_(std::move(pool)), lv_id_(lv_id) {}
    Result<> make(const GroupRow& group, const ThinRow& volume);

    Session& session_;
    PoolRow pool_;
    std::int64_t lv_id_;
    std::string node_;
    bool made_ = false;
};

}  // namespace thinvol
