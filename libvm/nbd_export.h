// NbdExport: a volume that clients reach, what they may and did do with it, and the requests that
// its limits hold back.
//
// Units       bytes, requests
// Invariants  (1) what is held back is started in the order in which it came, from all clients
//             (2) a flush is never held back: it covers what was answered, and nothing held was
// Errors      none
// Threads     the reactor's
// Source      none
#pragma once

#include <deque>
#include <memory>
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
    std::uint32_t clients = 0;  // past negotiation
    NbdAccess access{};
    VolumeIo io{};
    IoAverage average{};

    void set_policy(NbdPolicy policy);
    void count(const IoRequest& request);

    // Whether the request is to wait; otherwise it was charged.
    bool must_wait(const IoRequest& request);
    void hold(std::unique_ptr<NbdRequest> request) { held_.push_back(std::move(request)); }
    bool holds_any() const { return !held_.empty(); }
    // The next that may start now, charged; `at_once`: limits or not. Null: none may.
    std::unique_ptr<NbdRequest> take_held(RateLimit::Time now, bool at_once);
    // When it is worth asking again.
    RateLimit::Time ready_at() const;
    // Forgets those of a client that is gone, which never began; how many.
    std::size_t drop_held(const NbdConnection& connection);

private:
    bool ready(RateLimit::Time now) { return iops_.ready(now) && bandwidth_.ready(now); }
    void charge(const IoRequest& request);
    RateLimit iops_;
    RateLimit bandwidth_;
    std::deque<std::unique_ptr<NbdRequest>> held_;
};

}  // namespace thinvol
