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

#include <map>
#include <memory>
#include <string>

#include "engine/pool.h"
#include "libvm/catalog.h"
#include "libvm/reactor.h"

namespace thinvol {

class NbdConnection;

struct NbdExport {
    std::int64_t lv_id = 0;
    std::string name;
    std::unique_ptr<BlockQueue> external_origin{};
    Volume* volume = nullptr;
    ThinId thin_id{};
    std::uint32_t clients = 0;  // past negotiation
};

class NbdServer {
public:
    NbdServer(Reactor& reactor, Pool& pool);
    ~NbdServer();

    // Takes connections on the socket from now on.
    void listen(UniqueFd socket);
    void stop_listening();
    void limit_connections(std::size_t most) { connections_max_ = most; }
    Result<> add(const ThinRow& volume);
    Result<> remove(std::int64_t lv_id);
    Result<> check_unused(std::int64_t lv_id) const;
    void update(const ThinRow& volume);
    bool has(std::int64_t lv_id) const { return exports_.contains(lv_id); }
    bool empty() const { return exports_.empty(); }
    const std::map<std::int64_t, std::unique_ptr<NbdExport>>& exports() const { return exports_; }
    NbdExport* find(std::string_view name);

    // Sends what is answered; part of the reactor's work. True if anything was sent.
    bool run_once();
    // Drops all clients; what they have in flight still ends.
    void drop_clients();
    bool has_connections() const { return !connections_.empty(); }

private:
    friend class NbdConnection;
    void accept();
    void sweep();

    Reactor& reactor_;
    Pool& pool_;
    UniqueFd socket_;
    std::size_t connections_max_ = 1024;
    std::map<std::int64_t, std::unique_ptr<NbdExport>> exports_;
    std::vector<std::unique_ptr<NbdConnection>> connections_;
};

}  // namespace thinvol
