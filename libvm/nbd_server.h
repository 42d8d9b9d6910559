// NbdServer: the exports of a pool and the clients connected to them.
//
// Units       bytes
// Invariants  (1) what a client sends can reach no assertion: it gets the protocol's error, or is
//                 dropped
//             (2) memory for one client is bounded: past the limits nothing more is read from it
//             (3) FLUSH and FUA on one connection cover what was answered on any: there is one
//                 engine
// Errors      busy: an export with clients is not removed
// Threads     the reactor's
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/pool.h"
#include "libvm/catalog.h"
#include "libvm/nbd_export.h"
#include "libvm/payload_buffers.h"
#include "libvm/reactor.h"
#include "libvm/tls_channel.h"

namespace thinvol {

class NbdConnection;

inline constexpr std::uint32_t nbd_payload_max = 32 << 20;

// What one client may ask for; set before the first comes.
struct NbdLimits {
    std::size_t connections = 1024;
    std::uint32_t options = 64;  // in one negotiation
    std::uint32_t payload = nbd_payload_max;
    std::chrono::seconds negotiation{30};
};

class NbdServer {
public:
    NbdServer(Reactor& reactor, Pool& pool);
    ~NbdServer();

    // Takes connections on the socket from now on; on an own one only those of this user and root.
    void listen(UniqueFd socket, bool own);
    void offer_tls(std::unique_ptr<TlsCredentials> credentials, bool required);
    bool tls_offered() const { return tls_ != nullptr; }
    bool tls_required() const { return tls_required_; }
    void stop_listening();
    void set_limits(const NbdLimits& limits) { limits_ = limits; }
    const NbdLimits& limits() const { return limits_; }
    Result<> add(const ThinRow& volume, NbdPolicy policy);
    Result<> remove(std::int64_t lv_id);
    Result<> check_unused(std::int64_t lv_id) const;
    void update(const ThinRow& volume);
    // Access holds for who connects from now on, limits at once.
    void set_policy(std::int64_t lv_id, NbdPolicy policy);
    bool has(std::int64_t lv_id) const { return exports_.contains(lv_id); }
    bool empty() const { return exports_.empty(); }
    const std::map<std::int64_t, std::unique_ptr<NbdExport>>& exports() const { return exports_; }
    std::uint32_t preferred_block() const;

    // Sends what is answered; part of the reactor's work. True if anything was sent.
    bool run_once();
    // Takes no more clients; what is in flight still ends, and is answered; what comes now is
    // answered by ESHUTDOWN for a moment, so that clients learn why; then they are dropped.
    void shut_down();
    bool shutting_down() const { return shut_down_at_.has_value(); }
    bool gave_notice() const;
    bool has_connections() const { return !connections_.empty(); }

private:
    friend class NbdConnection;
    void accept(int listener, bool own);
    void sweep();
    void hold(NbdExport& exported, std::unique_ptr<NbdRequest> request);
    bool start_held();

    Reactor& reactor_;
    Pool& pool_;
    std::vector<UniqueFd> listeners_;
    std::unique_ptr<TlsCredentials> tls_;
    bool tls_required_ = false;
    NbdLimits limits_;
    std::optional<std::chrono::steady_clock::time_point> shut_down_at_;
    std::map<std::int64_t, std::unique_ptr<NbdExport>> exports_;
    std::vector<NbdExport*> holding_;  // exports that hold requests back, or did
    PayloadBuffers buffers_;
    std::vector<std::unique_ptr<NbdConnection>> connections_;
};

}  // namespace thinvol
