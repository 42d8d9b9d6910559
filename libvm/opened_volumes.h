// OpenedVolumes: inactive volumes whose bytes control connections read or write, beside the exports
// of the pool's server: how tvimport and tvexport reach them while others are in use.
//
// Units       bytes
// Invariants  (1) an opened volume is not active, and whoever writes it has it alone
//             (2) it is closed with its connection, whatever becomes of the client
// Errors      busy: a volume is opened already; otherwise as Pool's
// Threads     any; one for each OpenedVolume
// Source      none
#pragma once

#include <map>

#include "engine/base/aligned_buffer.h"
#include "libvm/pool_engine.h"
#include "libvm/pool_request.h"

namespace thinvol {

class OpenedVolumes;

class OpenedVolume {
public:
    OpenedVolume(OpenedVolumes& all, std::int64_t lv_id, std::unique_ptr<BlockQueue> origin,
                 Volume& volume)
        : all_(all), lv_id_(lv_id), origin_(std::move(origin)), volume_(volume) {}
    ~OpenedVolume();
    OpenedVolume(const OpenedVolume&) = delete;
    OpenedVolume& operator=(const OpenedVolume&) = delete;

    // Takes what follows the request, and answers it with all that follows. An error is of the
    // connection, which ends then.
    Result<> serve(int fd, const VolumeIoRequest& request);

private:
    Result<> send_answer(int fd, const VolumeIoRequest& request, Result<> outcome);
    OpenedVolumes& all_;
    std::int64_t lv_id_;
    std::unique_ptr<BlockQueue> origin_;  // outlives the volume's last reader
    Volume& volume_;
    AlignedBuffer buffer_;
    std::vector<VolumeExtent> extents_;
};

class OpenedVolumes {
public:
    explicit OpenedVolumes(PoolEngine& engine) : engine_(engine) {}
    Result<std::unique_ptr<OpenedVolume>> open(const ThinRow& row, bool writing);
    std::uint64_t count();
    bool none() const { return uses_.empty(); }  // on the pool's thread
    // busy: the request changes a volume that is opened, or activates it.
    Result<> check_may(Catalog& catalog, const PoolRequest& request);

private:
    friend class OpenedVolume;
    PoolEngine& engine_;
    struct Use {
        std::uint32_t readers = 0;
        bool written = false;
    };
    std::map<std::int64_t, Use> uses_;  // the pool's thread
};

}  // namespace thinvol
