// IoThread: a thread of its own for clients' I/O: a reactor, a lane into the pool, and queues to
// the pool's data.
//
// Units       none
// Invariants  the lane outlives what run()'s work submits to it
// Errors      busy: not now (PoolDevices::add_lane); unsupported: these devices serve one thread
// Threads     start(), run(), stop() on the pool's
// Source      none
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "engine/lane.h"
#include "engine/pool.h"
#include "libvm/pool_devices.h"
#include "libvm/reactor.h"

namespace thinvol {

class IoThread {
public:
    static Result<std::unique_ptr<IoThread>> start(Pool& pool, PoolDevices& devices);
    ~IoThread() { stop(); }

    Reactor& reactor() { return reactor_; }
    Lane& lane() { return *lane_; }
    // From now on it takes turns with the lane's own work, as Reactor::set_work() says.
    void run(std::function<bool()> work);
    // The thread has ended when this returns. Nothing of it is in flight any more.
    void stop();

private:
    IoThread() = default;
    void body(std::promise<void>& ready);

    Reactor reactor_;
    std::unique_ptr<Ring> ring_;  // null: refused by the kernel, or a sandbox
    std::unique_ptr<Lane> lane_;
    std::promise<void> go_;
    bool gone_ = false;
    std::thread thread_;
};

}  // namespace thinvol
