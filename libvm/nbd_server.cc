#include "libvm/nbd_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "libvm/control_protocol.h"
#include "libvm/external_origin.h"
#include "libvm/nbd_connection.h"

namespace thinvol {
namespace {

constexpr int socket_buffer_bytes = 4 << 20;
constexpr auto notice = std::chrono::milliseconds(200);

}  // namespace

NbdServer::NbdServer(Reactor& reactor, Pool& pool) : reactor_(reactor), pool_(pool) {
    reactor_.every(std::chrono::seconds(5), [this] { sweep(); });
    reactor_.every(std::chrono::seconds(1), [this] {
        const auto now = std::chrono::steady_clock::now();
        for (auto& [id, exported] : exports_) exported->average.sample(exported->io, now);
    });
}

NbdServer::~NbdServer() = default;

void NbdServer::listen(UniqueFd socket, bool own) {
    const int fd = socket.get();
    listeners_.push_back(std::move(socket));
    reactor_.watch(fd, EPOLLIN, [this, fd, own](std::uint32_t) { accept(fd, own); });
}

void NbdServer::stop_listening() {
    for (const UniqueFd& listener : listeners_) reactor_.forget(listener.get());
    listeners_.clear();
}

void NbdServer::offer_tls(std::unique_ptr<TlsCredentials> credentials, bool required) {
    tls_ = std::move(credentials);
    tls_required_ = required;
}

void NbdServer::accept(int listener, bool own) {
    UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client || (own && !peer_may_connect(client.get())) ||
        connections_.size() >= limits_.connections)
        return;
    const int on = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // of a TCP socket
    ::setsockopt(client.get(), SOL_SOCKET, SO_SNDBUF, &socket_buffer_bytes,
                 sizeof socket_buffer_bytes);
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVBUF, &socket_buffer_bytes,
                 sizeof socket_buffer_bytes);
    connections_.push_back(std::make_unique<NbdConnection>(*this, std::move(client)));
}

// Clients that stay silent in the middle of the handshake do not hold their place for ever.
void NbdServer::sweep() {
    buffers_.tick();
    for (auto& connection : connections_) {
        if (connection->negotiates_too_long()) connection->close();
    }
}

bool NbdServer::run_once() {
    bool progress = start_held();
    for (auto& connection : connections_) progress = connection->run_once() || progress;
    std::erase_if(connections_, [](const auto& c) { return c->closed(); });
    return progress;
}

void NbdServer::hold(NbdExport& exported, std::unique_ptr<NbdRequest> request) {
    if (std::find(holding_.begin(), holding_.end(), &exported) == holding_.end())
        holding_.push_back(&exported);
    exported.hold(std::move(request));
}

// What limits held back and let go now; where the server is to end, all of it.
bool NbdServer::start_held() {
    bool progress = false;
    std::erase_if(holding_, [](const NbdExport* e) { return !e->holds_any(); });
    for (NbdExport* exported : holding_) {
        const auto now = std::chrono::steady_clock::now();
        while (auto request = exported->take_held(now, shutting_down())) {
            NbdConnection& connection = *request->connection;
            connection.start_held(std::move(request));
            progress = true;
        }
        if (exported->holds_any()) reactor_.wake_at(exported->ready_at());
    }
    return progress;
}

void NbdServer::shut_down() {
    stop_listening();
    shut_down_at_ = std::chrono::steady_clock::now();
}

bool NbdServer::gave_notice() const {
    return shut_down_at_ && std::chrono::steady_clock::now() - *shut_down_at_ > notice;
}

// The pool's block, where the protocol allows its size.
std::uint32_t NbdServer::preferred_block() const {
    const std::uint64_t block = to_bytes(pool_.data_block_size()).n;
    return std::has_single_bit(block) && block <= limits_.payload
               ? static_cast<std::uint32_t>(block)
               : std::uint32_t{65536};
}

Result<> NbdServer::add(const ThinRow& row, NbdPolicy policy) {
    if (exports_.contains(row.lv.id)) return {};
    auto exported = std::make_unique<NbdExport>();
    exported->lv_id = row.lv.id;
    exported->name = row.lv.name;
    exported->thin_id = row.thin_id;
    exported->set_policy(std::move(policy));
    if (!row.external_origin.empty())
        exported->external_origin = TRY(open_external_origin(row.external_origin));
    exported->volume = TRY(pool_.open_volume(row.thin_id, row.size, row.lv.read_only,
                                             exported->external_origin.get()));
    exports_.emplace(row.lv.id, std::move(exported));
    return {};
}

Result<> NbdServer::check_unused(std::int64_t lv_id) const {
    const auto it = exports_.find(lv_id);
    if (it == exports_.end() || it->second->clients == 0) return {};
    return Error(Errc::busy,
                 fmt::format("Logical volume {} in use: {} client{} connected", it->second->name,
                             it->second->clients, it->second->clients == 1 ? " is" : "s are"));
}

Result<> NbdServer::remove(std::int64_t lv_id) {
    TRY(check_unused(lv_id));
    const auto it = exports_.find(lv_id);
    if (it == exports_.end()) return {};
    pool_.close_volume(*it->second->volume);
    std::erase(holding_, it->second.get());
    exports_.erase(it);
    return {};
}

void NbdServer::update(const ThinRow& row) {
    const auto it = exports_.find(row.lv.id);
    if (it == exports_.end()) return;
    it->second->name = row.lv.name;
    it->second->volume->size = row.size;
    it->second->volume->read_only = row.lv.read_only;
}

void NbdServer::set_policy(std::int64_t lv_id, NbdPolicy policy) {
    const auto it = exports_.find(lv_id);
    if (it != exports_.end()) it->second->set_policy(std::move(policy));
}

}  // namespace thinvol
