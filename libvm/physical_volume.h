// PhysicalVolume: a file or block device of a group, open and locked.
//
// Units       sectors; extents of the group
// Invariants  (1) everybody who uses it holds a shared lock on its byte 0, whoever makes or wipes
//                 it an exclusive one; the label names the environment that may use it. So two
//                 environments never share it.
//             (2) it is read and written in one mode by everybody, the label's
// Errors      not_found, busy (an exclusive user), corrupt, invalid_argument (another environment)
// Threads     as the queue's
// Source      open(2) on O_EXCL for block devices
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "engine/file_queue.h"
#include "libvm/file_lock.h"
#include "libvm/pv_label.h"

namespace thinvol {

// What somebody might lose by making a file or device a physical volume.
struct PvCandidate {
    std::string path;  // absolute, links resolved
    Sectors size{};
    IoMode io_mode = IoMode::buffered;
    std::string signature;  // "ext4", "thinvol physical volume of group vg0" ...; empty: none known
    std::optional<PvLabel> label{};
};

// How physical volumes are opened: as files, or, in the simulator, as devices of its own.
class PvOpener {
public:
    virtual ~PvOpener() = default;
    struct How {
        IoMode mode = IoMode::buffered;
        LockKind lock = LockKind::shared;
        Ring* ring = nullptr;    // as in FileOptions
        bool unflushed = false;  // as in FileOptions
    };
    struct Opened {
        std::unique_ptr<BlockQueue> queue;
        PvLabel label{};  // of open_pv()
        std::function<Result<>(Sector, Sectors)>
            allocate;  // space ahead, so that writes there do not run out of it
        std::function<std::uint64_t()> flushes;
        // For another thread; as FileQueue::sibling(). Null: there is no such thing.
        std::function<Result<std::unique_ptr<BlockQueue>>(Ring*)> sibling;
        // For that pool alone, until it is closed; busy: somebody else has the pool open. Null:
        // nobody else can.
        std::function<Result<>(const UuidBytes& pool)> claim;
        std::function<void(Sectors)> grow;  // to the size that its row has come to meanwhile
    };
    virtual Result<Opened> open(const std::string& path, const How& how) = 0;
    // busy if anybody has it open as a physical volume.
    virtual Result<PvCandidate> examine(const std::string& path) = 0;
};
PvOpener& file_opener();

// Opens a PV that the catalog knows, and checks that it is the one.
Result<PvOpener::Opened> open_pv(PvOpener& opener, const PvRow& row,
                                 const std::string& environment_uuid, Ring* ring = nullptr,
                                 bool unflushed = false);

}  // namespace thinvol
