// NbdExport: a volume that clients reach, and what they may and did do with it.
//
// Units       bytes, requests
// Invariants  (1) a flush is never made to wait by limits: it covers what was answered, and nothing
//                 held back was
//             (2) `clients` rises only on the pool's thread: there, none is none
// Errors      none
// Threads     the pool's; of each client's thread count(), must_wait(), may_start(), ready_at(),
//             and what is atomic
// Source      none
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "engine/pool.h"
#include "libvm/nbd_policy.h"
#include "libvm/nbd_request.h"
#include "libvm/rate_limit.h"
#include "libvm/volume_io.h"

namespace thinvol {

struct NbdExport {
    std::int64_t lv_id = 0;
    std::string name;
    std::unique_ptr<BlockQueue> external_origin{};
    Volume* volume = nullptr;
    ThinId thin_id{};
    std::atomic<std::uint64_t> size = 0;
    std::atomic<bool> read_only = false;
    std::atomic<std::uint32_t> clients = 0;   // past negotiation
    std::atomic<std::uint32_t> attached = 0;  // of those, the kernel's: NbdServer::attach()
    NbdAccess access{};
    IoAverage average{};

    void set_policy(NbdPolicy policy);
    // A request that succeeded; each thread has a number of its own, up to lanes_max.
    void count(const IoRequest& request, std::size_t thread);
    VolumeIo io() const;

    // Whether the request is to wait, also for `others` that do; otherwise it was charged.
    bool must_wait(const IoRequest& request, bool others);
    // Whether one that waited may start, charged; `at_once`: limits or not.
    bool may_start(const IoRequest& request, RateLimit::Time now, bool at_once);
    // When it is worth asking again.
    RateLimit::Time ready_at() const;

private:
    bool ready(RateLimit::Time now) { return iops_.ready(now) && bandwidth_.ready(now); }
    void charge(const IoRequest& request);

    std::array<VolumeCounters, lanes_max + 1> counters_;  // by thread
    std::atomic<bool> limited_ = false;
    mutable std::mutex mutex_;
    RateLimit iops_;  // these two under mutex_
    RateLimit bandwidth_;
};

}  // namespace thinvol
