// NbdServer: the exports of a pool and the clients connected to them.
//
// Clients negotiate on the pool's thread. Once they have agreed they stay there, or go to the
// thread that has the fewest; one more is started while there are fewer than allowed. Queues of
// block devices are served by the same threads.
//
// Units       bytes
// Invariants  (1) what a client sends can reach no assertion: it gets the protocol's error, or is
//                 dropped
//             (2) memory for one client is bounded: past the limits nothing more is read from it
//             (3) FLUSH and FUA on one connection cover what was answered on any: there is one
//                 engine
// Errors      busy: an export with clients is not removed
// Threads     the pool's reactor's; what NbdClients asks: any
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/pool.h"
#include "libvm/catalog.h"
#include "libvm/io_thread.h"
#include "libvm/nbd_clients.h"
#include "libvm/payload_memory.h"
#include "libvm/tls_channel.h"

namespace thinvol {

inline constexpr std::uint32_t nbd_payload_max = 32 << 20;
// As NBD wants them: some large requests on their way.
void enlarge_buffers(int socket);

// What one client may ask for; set before the first comes.
struct NbdLimits {
    std::size_t connections = 1024;
    std::size_t threads = 1;     // that serve clients, the pool's own among them
    std::uint32_t options = 64;  // in one negotiation
    std::uint32_t payload = nbd_payload_max;
    std::size_t memory = 256 << 20;  // of all clients (payload_memory.h)
    std::chrono::seconds negotiation{30};
};

class NbdServer {
public:
    NbdServer(Reactor& reactor, Pool& pool);
    ~NbdServer();

    // Takes connections on the socket from now on; on an own one only those of this user and root.
    void listen(UniqueFd socket, bool own);
    // One client more, of that export, with nothing left to negotiate: the kernel's own.
    void attach(std::int64_t lv_id, UniqueFd socket);
    // The nth thread's, which is started where it may be; else another's, by turns.
    NbdClients& clients_of_thread(std::size_t n);
    void offer_tls(std::unique_ptr<TlsCredentials> credentials, bool required);
    bool tls_offered() const { return tls_ != nullptr; }
    bool tls_required() const { return tls_required_; }
    void stop_listening();
    void set_limits(const NbdLimits& limits);
    const NbdLimits& limits() const { return limits_; }
    Result<> add(const ThinRow& volume, NbdPolicy policy);
    Result<> remove(std::int64_t lv_id);
    // How many of its clients attach() brought, and how many others there are.
    std::uint32_t attached(std::int64_t lv_id) const;
    static std::uint32_t others(const NbdExport& exported) {
        const std::uint32_t attached = exported.attached;  // falls after `clients` does
        const std::uint32_t clients = exported.clients;
        return clients > attached ? clients - attached : 0;
    }
    // By others than those.
    Result<> check_unused(std::int64_t lv_id) const;
    void update(const ThinRow& volume);
    // What its users were answered stays if this process is killed, as they do (C12).
    void set_outlived(std::int64_t lv_id, bool on);
    // Access holds for who connects from now on, limits at once.
    void set_policy(std::int64_t lv_id, NbdPolicy policy);
    bool has(std::int64_t lv_id) const { return exports_.contains(lv_id); }
    bool empty() const { return exports_.empty(); }
    const std::map<std::int64_t, std::unique_ptr<NbdExport>>& exports() const { return exports_; }
    std::uint32_t preferred_block() const;

    // Sends what is answered; part of the reactor's work. True if anything was sent.
    bool run_once() { return home_.run_once(); }
    // Takes no more clients; what is in flight still ends, and is answered; what comes now is
    // answered by ESHUTDOWN for a moment, so that clients learn why; then they are dropped.
    void shut_down();
    bool has_connections() const { return connections_ > 0; }
    // How a thread is started, where there may be some.
    void on_crowd(std::function<Result<std::unique_ptr<IoThread>>()> start) {
        start_thread_ = std::move(start);
    }

    // --- handing over (succession.h)
    // Nothing more is read from clients, what is in flight ends, until resume(). Those that
    // negotiate have a moment.
    void pause();
    void resume();
    bool quiet() const;
    // Once quiet: the threads end, and all that the next program needs of sockets and clients.
    void hand_over(Succession& to);
    void take_over(const Succession& from);

    // --- for NbdClients and NbdConnection
    bool paused() const { return paused_; }
    bool grace_is_over() const;
    bool shutting_down() const { return shutting_down_; }
    bool gave_notice() const;
    void place(std::unique_ptr<NbdConnection> connection);
    const TlsCredentials& tls() const { return *tls_; }
    PayloadMemory& memory() { return memory_; }
    void connection_began() { ++connections_; }
    void connection_ended() { --connections_; }

private:
    // One of the threads and its clients.
    struct Crew {
        std::unique_ptr<IoThread> thread;
        std::unique_ptr<NbdClients> clients;
    };
    void accept(int listener, bool own);
    NbdClients& best_place();
    bool start_crew();

    Reactor& reactor_;
    Pool& pool_;
    struct Listener {
        UniqueFd socket;
        bool own;
    };
    std::vector<Listener> listeners_;
    std::unique_ptr<TlsCredentials> tls_;
    bool tls_required_ = false;
    NbdLimits limits_;
    PayloadMemory memory_;
    std::chrono::steady_clock::time_point shut_down_at_;  // if shutting_down_
    std::atomic<bool> shutting_down_ = false;
    std::chrono::steady_clock::time_point paused_at_;  // if paused_
    std::atomic<bool> paused_ = false;
    std::map<std::int64_t, std::unique_ptr<NbdExport>> exports_;
    std::atomic<std::size_t> connections_ = 0;
    std::function<Result<std::unique_ptr<IoThread>>()> start_thread_;
    NbdClients home_;
    std::vector<Crew> crews_;
};

}  // namespace thinvol
