// pool_access: the way to a pool's owner, whoever that is at the moment.
//
// Units       none
// Invariants  (1) a request that got no answer is sent again with the same UUID: it happens once
//             (2) if nobody owns the pool, this process does for the time of the request
// Errors      as PoolOwner; busy: the pool was held by others for longer than a request ever takes
// Threads     one
// Source      none
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "libvm/control_protocol.h"
#include "libvm/pool_owner.h"

namespace thinvol {

namespace pool_patience {
inline constexpr auto patience = std::chrono::seconds(30);
inline constexpr auto pause = std::chrono::milliseconds(2);
}  // namespace pool_patience

// Tries `attempt` until it says something else than busy or gone.
template <class Attempt>
auto until_answered(const Environment& environment, const PoolRow& pool, Attempt&& attempt)
    -> decltype(attempt()) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + pool_patience::patience;
    for (;;) {
        auto outcome = attempt();
        if (outcome ||
            (outcome.error().code != Errc::busy && outcome.error().code != Errc::not_found))
            return outcome;
        if (Clock::now() > end)
            return Error(Errc::busy,
                         fmt::format("pool {} was held by other processes for {} seconds{}",
                                     pool.lv.name, pool_patience::patience.count(),
                                     FileLock::holders(environment.lock_path(pool.lv.uuid))));
        std::this_thread::sleep_for(pool_patience::pause);
    }
}

// Asks the pool's server, or does it in this process.
Result<PoolAnswer> ask_owner(Session& session, const GroupRow& group, const PoolRow& pool,
                             const PoolRequest& request);
// Asks the pool's server, starting it if there is none.
Result<PoolAnswer> ask_server(Session& session, const GroupRow& group, const PoolRow& pool,
                              const PoolRequest& request);
// Nothing if the pool has no server.
Result<std::optional<PoolAnswer>> ask_if_served(const Environment& environment, const PoolRow& pool,
                                                const PoolRequest& request);
// The program in the server's file takes its place; for how many milliseconds clients waited.
// Nothing if the pool has no server.
Result<std::optional<std::uint64_t>> restart_server(const Environment& environment,
                                                    const PoolRow& pool);
PoolRequest new_request(decltype(PoolRequest::what) what);

// Deactivates all volumes of the pool, and waits for its server to be gone. busy if a client has
// one open.
Result<> stop_server(Session& session, const PoolRow& pool);
// Waits until a server that was told to end is gone, or somebody has started another.
void await_server_end(const Environment& environment, const PoolRow& pool);

// The pool's metadata as they are durable, to be read: by way of the server, which pins them, or
// from the devices, with the pool's lock held.
class MetadataView {
public:
    virtual ~MetadataView() = default;
    virtual BlockQueue& device() = 0;
    static Result<std::unique_ptr<MetadataView>> open(Session& session, const GroupRow& group,
                                                      const PoolRow& pool);
};

}  // namespace thinvol
