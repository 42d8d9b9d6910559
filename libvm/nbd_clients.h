// NbdClients: the clients of one thread: their connections, what limits hold back of their
// requests, and the memory for their payloads; beside them, queues of block devices.
//
// Units       bytes
// Invariants  (1) what is held back is started in the order in which it came, from all clients here
//             (2) only connections that have something to do are looked at
// Errors      none
// Threads     the reactor's; adopt(), wake() and count() from any
// Source      none
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/lane.h"
#include "engine/pool.h"
#include "libvm/nbd_export.h"
#include "libvm/payload_buffers.h"
#include "libvm/reactor.h"
#include "libvm/succession.h"

namespace thinvol {

class NbdConnection;
class NbdServer;

// A block device's queue, which takes turns with the clients of its thread.
class DeviceQueue {
public:
    virtual ~DeviceQueue() = default;
    // Takes in what came, unless it pauses; sends what is answered. True if anything happened.
    virtual bool run_once(bool paused) = 0;
    // Nothing of it is with the pool.
    virtual bool quiet() const = 0;
};

class NbdClients {
public:
    // The pool's own thread's (number 0), or those of a thread with a lane (1, 2, ...).
    NbdClients(NbdServer& server, Reactor& reactor, Pool& pool);
    NbdClients(NbdServer& server, Reactor& reactor, Lane& lane, std::size_t number);
    ~NbdClients();

    // A client that negotiates here, or has agreed elsewhere.
    void add(std::unique_ptr<NbdConnection> connection);
    void adopt(std::unique_ptr<NbdConnection> connection);
    // It counts as a client.
    void add(DeviceQueue& queue);
    void remove(DeviceQueue& queue);
    // Clients that transmit here, or are on their way to.
    std::size_t count() const { return count_; }
    void wake() { reactor_.wake(); }
    // Part of the reactor's work. True if anything happened.
    bool run_once();
    // Now and then.
    void sweep();
    // While the server pauses: that nothing of any client here is in flight, and none begins.
    bool quiet() const { return quiet_; }
    // Once the reactor rests for good.
    void hand_over(std::vector<HandedClient>& to);

    // --- for NbdConnection and DeviceQueue
    NbdServer& server() { return server_; }
    Reactor& reactor() { return reactor_; }
    PayloadBuffers& buffers() { return buffers_; }
    std::size_t number() const { return number_; }
    void submit(IoRequest& request) {
        if (lane_ != nullptr) lane_->submit(request);
        else pool_->submit(request);
    }
    // Whether limits let the request start; if not, it is kept here.
    bool holds(NbdExport& exported, std::unique_ptr<NbdRequest>& request);
    // Forgets those of a client that is gone, which never began; how many.
    std::size_t drop_held(const NbdConnection& connection);
    // Those that wait for memory are to be looked at again.
    void look_again_soon();
    // The connection is to be looked at in this round.
    void look_at(NbdConnection& connection) { to_look_at_.push_back(&connection); }

private:
    struct Held {
        explicit Held(NbdExport* of) : exported(of) {}
        NbdExport* exported;
        std::deque<std::unique_ptr<NbdRequest>> requests;
    };
    void take_in_arrived();
    void ask_for_memory_again();
    bool look();
    bool start_held();
    void look_for_quiet();

    NbdServer& server_;
    Reactor& reactor_;
    Pool* pool_ = nullptr;
    Lane* lane_ = nullptr;
    std::size_t number_ = 0;
    PayloadBuffers buffers_;
    std::vector<std::unique_ptr<NbdConnection>> connections_;
    std::vector<NbdConnection*> to_look_at_;
    std::vector<NbdConnection*> looked_at_;
    std::vector<DeviceQueue*> queues_;
    std::list<Held> held_;
    std::atomic<std::size_t> count_ = 0;
    std::optional<std::chrono::steady_clock::time_point> ask_for_memory_at_;
    std::atomic<bool> any_arrived_ = false;
    std::atomic<bool> quiet_ = false;
    std::mutex mutex_;
    std::vector<std::unique_ptr<NbdConnection>> arrived_;  // under mutex_
};

}  // namespace thinvol
