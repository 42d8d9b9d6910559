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
constexpr auto sweep_interval = std::chrono::seconds(5);

}  // namespace

void enlarge_buffers(int socket) {
    for (const int which : {SO_SNDBUF, SO_RCVBUF})
        ::setsockopt(socket, SOL_SOCKET, which, &socket_buffer_bytes, sizeof socket_buffer_bytes);
}

NbdServer::NbdServer(Reactor& reactor, Pool& pool)
    : reactor_(reactor), pool_(pool), home_(*this, reactor, pool) {
    set_limits({});
    reactor_.every(sweep_interval, [this] { home_.sweep(); });
    reactor_.every(std::chrono::seconds(1), [this] {
        const auto now = std::chrono::steady_clock::now();
        for (auto& [id, exported] : exports_) exported->average.sample(exported->io(), now);
    });
}

NbdServer::~NbdServer() {
    for (Crew& crew : crews_) crew.thread->stop();
}

void NbdServer::listen(UniqueFd socket, bool own) {
    const int fd = socket.get();
    listeners_.push_back({std::move(socket), own});
    reactor_.watch(fd, EPOLLIN, [this, fd, own](std::uint32_t) { accept(fd, own); });
}

void NbdServer::stop_listening() {
    for (const Listener& listener : listeners_) reactor_.forget(listener.socket.get());
    listeners_.clear();
}

void NbdServer::offer_tls(std::unique_ptr<TlsCredentials> credentials, bool required) {
    tls_ = std::move(credentials);
    tls_required_ = required;
}

void NbdServer::accept(int listener, bool own) {
    UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client || (own && !peer_may_connect(client.get())) || connections_ >= limits_.connections)
        return;
    const int on = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // of a TCP socket
    enlarge_buffers(client.get());
    home_.add(std::make_unique<NbdConnection>(*this, std::move(client)));
}

// The client has agreed to an export.
void NbdServer::place(std::unique_ptr<NbdConnection> connection) {
    connection->leave();
    best_place().adopt(std::move(connection));
}

void NbdServer::attach(std::int64_t lv_id, UniqueFd socket) {
    const NbdAgreement agreed{exports_.at(lv_id).get(), true, NbdReplies::simple, {}};
    best_place().adopt(std::make_unique<NbdConnection>(*this, std::move(socket), agreed, true));
}

// Where the fewest clients are, another thread's perhaps that is new.
NbdClients& NbdServer::best_place() {
    NbdClients* best = &home_;
    const auto look_for_best = [&] {
        for (Crew& crew : crews_)
            if (crew.clients->count() < best->count()) best = crew.clients.get();
    };
    look_for_best();
    if (best->count() > 0 && start_crew()) look_for_best();
    return *best;
}

NbdClients& NbdServer::clients_of_thread(std::size_t n) {
    while (crews_.size() < n && start_crew()) {}
    const std::size_t turn = n % (crews_.size() + 1);
    return turn == 0 ? home_ : *crews_[turn - 1].clients;
}

// Where it cannot be had, those there are serve the client.
bool NbdServer::start_crew() {
    if (crews_.size() + 1 >= limits_.threads || !start_thread_) return false;
    auto thread = start_thread_();
    if (!thread) return false;
    Crew crew{std::move(*thread), nullptr};
    crew.clients = std::make_unique<NbdClients>(*this, crew.thread->reactor(), crew.thread->lane(),
                                                crews_.size() + 1);
    NbdClients& clients = *crew.clients;
    crew.thread->reactor().every(sweep_interval, [&clients] { clients.sweep(); });
    crew.thread->run([&clients] { return clients.run_once(); });
    crews_.push_back(std::move(crew));
    return true;
}

void NbdServer::set_limits(const NbdLimits& limits) {
    limits_ = limits;
    memory_.set_maximum(limits.memory);
}

void NbdServer::shut_down() {
    stop_listening();
    shut_down_at_ = std::chrono::steady_clock::now();
    shutting_down_ = true;
    for (Crew& crew : crews_) crew.clients->wake();
}

bool NbdServer::gave_notice() const {
    return shutting_down_ && std::chrono::steady_clock::now() - shut_down_at_ > notice;
}

// --- handing over --------------------------------------------------------------------------------

// Who wants to connect waits in the listeners' queues.
void NbdServer::pause() {
    for (const Listener& listener : listeners_) reactor_.change(listener.socket.get(), 0);
    paused_at_ = std::chrono::steady_clock::now();
    paused_ = true;
    home_.wake();
    for (Crew& crew : crews_) crew.clients->wake();
}

void NbdServer::resume() {
    paused_ = false;
    for (const Listener& listener : listeners_) reactor_.change(listener.socket.get(), EPOLLIN);
    home_.wake();
    for (Crew& crew : crews_) crew.clients->wake();
}

bool NbdServer::grace_is_over() const {
    return std::chrono::steady_clock::now() - paused_at_ > notice;
}

bool NbdServer::quiet() const {
    return paused_ && home_.quiet() && std::all_of(crews_.begin(), crews_.end(), [](const Crew& c) {
               return c.clients->quiet();
           });
}

void NbdServer::hand_over(Succession& to) {
    for (Crew& crew : crews_) crew.thread->stop();
    for (const Listener& listener : listeners_)
        to.listeners.push_back({listener.socket.get(), listener.own});
    for (const auto& [id, exported] : exports_) to.exports.push_back(id);
    home_.hand_over(to.clients);
    for (Crew& crew : crews_) crew.clients->hand_over(to.clients);
}

// A client whose volume is not exported any more is dropped.
void NbdServer::take_over(const Succession& from) {
    for (const HandedListener& l : from.listeners) listen(UniqueFd(l.socket), l.own);
    for (const HandedClient& client : from.clients) {
        UniqueFd socket(client.socket);
        const auto it = exports_.find(client.lv_id);
        if (it == exports_.end()) continue;
        const NbdAgreement agreed{it->second.get(), client.may_write, client.replies,
                                  client.contexts};
        auto connection =
            std::make_unique<NbdConnection>(*this, std::move(socket), agreed, client.attached);
        connection->continue_from(client);
        best_place().adopt(std::move(connection));
    }
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
    exported->size = row.size.n;
    exported->read_only = row.lv.read_only;
    exports_.emplace(row.lv.id, std::move(exported));
    return {};
}

std::uint32_t NbdServer::attached(std::int64_t lv_id) const {
    const auto it = exports_.find(lv_id);
    return it == exports_.end() ? 0 : it->second->attached.load();
}

Result<> NbdServer::check_unused(std::int64_t lv_id) const {
    const auto it = exports_.find(lv_id);
    if (it == exports_.end()) return {};
    const std::uint32_t clients = others(*it->second);
    if (clients == 0) return {};
    return Error(Errc::busy,
                 fmt::format("Logical volume {} in use: {} client{} connected", it->second->name,
                             clients, clients == 1 ? " is" : "s are"));
}

Result<> NbdServer::remove(std::int64_t lv_id) {
    TRY(check_unused(lv_id));
    const auto it = exports_.find(lv_id);
    if (it == exports_.end()) return {};
    if (it->second->clients > 0)
        return Error(Errc::busy, fmt::format("Logical volume {} in use: it is a block device",
                                             it->second->name));
    pool_.close_volume(*it->second->volume);
    exports_.erase(it);
    return {};
}

void NbdServer::update(const ThinRow& row) {
    const auto it = exports_.find(row.lv.id);
    if (it == exports_.end()) return;
    it->second->name = row.lv.name;
    it->second->size = row.size.n;
    it->second->read_only = row.lv.read_only;
    pool_.resize_volume(*it->second->volume, row.size, row.lv.read_only);
}

void NbdServer::set_outlived(std::int64_t lv_id, bool on) {
    const auto it = exports_.find(lv_id);
    if (it != exports_.end()) pool_.set_outlived(*it->second->volume, on);
}

void NbdServer::set_policy(std::int64_t lv_id, NbdPolicy policy) {
    const auto it = exports_.find(lv_id);
    if (it != exports_.end()) it->second->set_policy(std::move(policy));
}

}  // namespace thinvol
