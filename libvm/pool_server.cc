#include "libvm/pool_server.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <future>
#include <list>
#include <set>
#include <thread>

#include "libvm/active_list.h"
#include "libvm/control_protocol.h"
#include "libvm/nbd_listeners.h"
#include "libvm/opened_volumes.h"
#include "libvm/pool_keeper.h"
#include "libvm/pool_owner.h"
#include "libvm/privileges.h"
#include "libvm/served_move.h"
#include "libvm/ublk_device.h"
#include "libvm/uri.h"
#include "libvm/volume_devices.h"

namespace thinvol {
namespace {

constexpr auto lock_wait = std::chrono::seconds(10);
constexpr auto tick_interval = std::chrono::seconds(1);
constexpr std::size_t control_connections_max = 64;
constexpr std::uint64_t read_blocks_max = 2048;
constexpr std::uint64_t longest_wait_ms = 60'000;  // for an event
constexpr auto rest_patience = std::chrono::seconds(5);

std::int64_t monotonic_ns() {
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

// The pool on the reactor's thread, for others.
class ServedPool : public PoolEngine {
public:
    ServedPool(Reactor& reactor, LocalPool& local) : reactor_(reactor), local_(local) {}

    void call(const std::function<void(Pool&, PoolDevices&)>& body) override {
        reactor_.call([&] { body(local_.pool(), local_.devices()); });
    }
    Result<> apply(std::vector<PoolOperation> operations, TransactionId from,
                   TransactionId to) override {
        ApplyRequest request;
        request.operations = std::move(operations);
        request.from = from;
        request.to = to;
        return wait_for(request, [&] { local_.pool().apply(request); });
    }
    Result<> run(IoRequest& request) override {
        return wait_for(request, [&] { local_.pool().submit(request); });
    }

private:
    template <class Request, class Start>
    Result<> wait_for(Request& request, Start&& start) {
        std::promise<void> ended;
        request.owner = &ended;
        request.done = [](Request& r) { static_cast<std::promise<void>*>(r.owner)->set_value(); };
        auto future = ended.get_future();
        reactor_.call(start);
        future.wait();
        return std::move(request.outcome);
    }
    Reactor& reactor_;
    LocalPool& local_;
};

class ServedExports : public Exports {
public:
    ServedExports(Reactor& reactor, NbdServer& nbd, VolumeDevices& devices, Session& session,
                  std::filesystem::path socket)
        : reactor_(reactor),
          nbd_(nbd),
          devices_(devices),
          session_(session),
          socket_(std::move(socket)) {}

    Result<> add(const ThinRow& v) override {
        const DevicePolicy how = TRY(DevicePolicy::load(session_, v));
        const ExportKinds kinds = how.kinds.settled(how.kinds.automatic && ublk_works());
        const bool there_already = has(v.lv.id);
        if (!there_already) TRY(add_to_nbd(v, kinds.nbd));
        auto outcome = devices_.set(v, kinds.device, how);
        if (outcome && there_already) {
            reactor_.call([&] { hide(v.lv.id, !kinds.nbd); });
            return apply_settings(v);
        }
        if (!outcome && !there_already) ignore(remove_from_nbd(v.lv.id), "what failed is said");
        return outcome;
    }
    // What the program before this one exported, whatever is set since.
    Result<> add_again(const ThinRow& v) {
        bool visible = true;
        if (devices_.is_left(v))
            visible = TRY(DevicePolicy::load(session_, v)).kinds.settled(true).nbd;
        return add_to_nbd(v, visible);
    }
    // Its device goes on that was left; what is not as set, in words.
    Result<std::vector<std::string>> recover(const ThinRow& v) {
        const bool there_already = has(v.lv.id);
        if (!there_already) TRY(add_again(v));
        auto outcome = devices_.recover(v, TRY(DevicePolicy::load(session_, v)));
        if (!outcome && !there_already) ignore(remove_from_nbd(v.lv.id), "what failed is said");
        return outcome;
    }
    Result<> remove(std::int64_t id) override {
        TRY(check_unused(id));
        TRY(devices_.remove(id));
        return remove_from_nbd(id);
    }
    bool has(std::int64_t id) override {
        return there<bool>([&] { return nbd_.has(id); });
    }
    Result<> check_unused(std::int64_t id) override {
        TRY(there<Result<>>([&] { return nbd_.check_unused(id); }));
        return devices_.check_unused(id);
    }
    std::vector<std::string> update(const ThinRow& v) override {
        reactor_.call([&] { nbd_.update(v); });
        return devices_.update(v);
    }
    Result<> check_resize(std::int64_t id) override { return devices_.check_resize(id); }
    Result<> apply_settings(const ThinRow& v) override {
        NbdPolicy policy = TRY(NbdPolicy::load(session_, v));
        reactor_.call([&] {
            if (hidden_.contains(v.lv.id)) policy.access = NbdAccess::nobody();
            nbd_.set_policy(v.lv.id, std::move(policy));
        });
        return {};
    }
    std::vector<ActiveVolume> list() override {
        return there<std::vector<ActiveVolume>>([&] {
            const auto now = std::chrono::steady_clock::now();
            std::vector<ActiveVolume> active;
            for (const auto& [id, e] : nbd_.exports()) {
                const std::uint64_t mapped =
                    e->volume->device == nullptr ? 0 : e->volume->device->details.mapped_blocks;
                const VolumeIo io = e->io();
                const std::string uri =
                    hidden_.contains(id) ? "" : nbd_uri(e->name, socket_, nbd_.tls_required());
                active.push_back({id, NbdServer::others(*e), mapped, uri, io,
                                  e->average.rates(io, now), devices_.node(id)});
            }
            return active;
        });
    }

private:
    template <class T, class Body>
    T there(Body&& body) {
        std::optional<T> value;
        reactor_.call([&] { value.emplace(body()); });
        return std::move(*value);
    }
    void hide(std::int64_t id, bool on) {
        if (on) hidden_.insert(id);
        else hidden_.erase(id);
    }
    Result<> add_to_nbd(const ThinRow& v, bool visible) {
        NbdPolicy policy = TRY(NbdPolicy::load(session_, v));
        if (!visible) policy.access = NbdAccess::nobody();
        return there<Result<>>([&] {
            hide(v.lv.id, !visible);
            return nbd_.add(v, std::move(policy));
        });
    }
    Result<> remove_from_nbd(std::int64_t id) {
        return there<Result<>>([&] {
            hide(id, false);
            return nbd_.remove(id);
        });
    }
    Reactor& reactor_;
    NbdServer& nbd_;
    VolumeDevices& devices_;
    std::set<std::int64_t> hidden_;  // from clients; the reactor's
    Session& session_;               // of who asks for requests
    std::filesystem::path socket_;
};

class Server {
public:
    Server(const Environment& environment, Session session, Session control_session)
        : environment_(environment),
          session_(std::move(session)),
          control_session_(std::move(control_session)) {}
    // With `before`, in the place of a program that handed over.
    Result<> open(const std::string& pool_uuid, const Succession* before);
    Result<> start_keeper(const Config& config);
    void take_over(const Succession& before);
    bool has_left_devices() const { return !devices_->left().empty(); }
    // Unless it is empty: what a server that died exported is exported again, and `restored` told;
    // with `all` not only what is a block device.
    void serve(const std::function<void()>& restored, bool all);

private:
    struct ControlConnection {
        UniqueFd socket;
        std::thread thread;
        std::atomic<bool> ended = false;
    };
    // A pinned transaction, read by way of descriptors of its own.
    struct PinnedReader {
        Pool::Pin pin;
        std::unique_ptr<PoolDevices> devices;
        std::uint64_t layout;  // of the pool's own devices, when these were opened
    };
    // What belongs to a control connection, and ends with it.
    struct Holdings {
        std::optional<PinnedReader> pinned;
        std::unique_ptr<OpenedVolume> opened;
    };
    void restore_exports(bool all);
    bool recover_devices();
    bool export_again(const std::vector<std::int64_t>& ids,
                      const std::function<Result<>(const ThinRow&)>& add);
    void end_exports();
    void accept_control();
    void converse(ControlConnection& connection);
    // Whether the connection goes on.
    bool answer(int fd, const std::string& text, Holdings& holdings);
    Result<PoolAnswer> execute(const PoolRequest& request, Holdings& holdings,
                               std::vector<std::byte>& following);
    Result<PoolAnswer> open(const OpenVolumeRequest& request, Holdings& holdings);
    void stop_if_unused();
    Result<> obtain_pool(const Succession* before);
    Result<PoolAnswer> restart(const std::string& request_id);
    bool comes_to_rest(Pool& pool, PoolDevices& devices);
    [[noreturn]] void hand_over(Succession& next);
    Result<PoolAnswer> pin(std::optional<PinnedReader>& pinned, std::vector<std::byte>& following);
    Result<> open_pinned(PinnedReader& pinned);
    Result<PoolAnswer> read(PinnedReader& pinned, const ReadMetadataRequest& request,
                            std::vector<std::byte>& following);
    void remember_exports();
    // As for a command: in turn, and not once the server ends.
    Result<PoolAnswer> execute_own(const PoolRequest& request);
    void stop();

    const std::string program_ = own_program();
    Environment environment_;
    Session session_;          // of the main thread, until it serves
    Session control_session_;  // under request_mutex_
    GroupRow group_;
    PoolRow pool_;
    std::unique_ptr<Ring> ring_;
    std::unique_ptr<LocalPool> local_;
    Reactor reactor_;
    std::unique_ptr<NbdServer> nbd_;
    std::unique_ptr<VolumeDevices> devices_;
    std::unique_ptr<ServedPool> served_;
    std::unique_ptr<ServedExports> exports_;
    std::unique_ptr<PoolOwner> owner_;
    std::unique_ptr<ServedMove> mover_;
    std::unique_ptr<OpenedVolumes> opened_;
    EventLog events_;
    std::unique_ptr<PoolKeeper> keeper_;
    std::chrono::seconds idle_limit_{};  // without ever having been asked to activate anything
    std::chrono::seconds patience_{};    // with the last clients and commits
    UniqueFd control_socket_;
    UniqueFd signals_;
    std::string restarted_by_;        // the request that put this program here
    std::uint64_t pause_ms_ = 0;      // and how long clients waited
    bool remembers_exports_ = false;  // somebody starts another server if this one dies
    std::mutex request_mutex_;
    std::list<ControlConnection> control_;  // the reactor's thread
    bool asked_to_activate_ = false;        // the reactor's thread
    // Once stopping_ is set no request begins; the reactor goes on until those that had begun have
    // ended.
    std::atomic<bool> stopping_ = false;
    std::atomic<int> executing_ = 0;
    std::chrono::steady_clock::time_point stop_began_;
    std::thread ender_;           // takes the devices away
    bool exports_ended_ = false;  // the reactor's thread
};

Result<> Server::obtain_pool(const Succession* before) {
    if (before != nullptr) {
        local_ = TRY(LocalPool::take_over(session_, group_, pool_, ring_.get(),
                                          FileLock::adopt(UniqueFd(before->lock))));
        return {};
    }
    const auto end = std::chrono::steady_clock::now() + lock_wait;
    for (;;) {
        auto local = LocalPool::serve(session_, group_, pool_, ring_.get());
        if (local) {
            local_ = std::move(*local);
            return {};
        }
        if (local.error().code != Errc::busy || std::chrono::steady_clock::now() > end)
            return std::move(local).error();
        if (ControlClient::connect(environment_.control_socket(pool_.lv.uuid), lock_wait))
            return Error(Errc::exists, "the pool is served already");
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

Result<> Server::open(const std::string& pool_uuid, const Succession* before) {
    const auto row = TRY(session_.catalog.lookup_pool(pool_uuid));
    if (!row) return Error(Errc::not_found, fmt::format("no pool {}", pool_uuid));
    pool_ = *row;
    group_ = TRY(session_.catalog.group(pool_.lv.vg_id));
    if (auto ring = Ring::open(256))
        ring_ = std::move(*ring);  // refused in some containers: then without
    TRY(obtain_pool(before));
    TRY(make_private_directory(environment_.run_dir));
    local_->pool().lanes().on_wake([this] { reactor_.wake(); });
    nbd_ = std::make_unique<NbdServer>(reactor_, local_->pool());
    nbd_->on_crowd([this] { return IoThread::start(local_->pool(), local_->devices()); });
    // Settings that cannot be read may be those that keep clients out: nothing is served by weaker
    // ones instead.
    const Config config = TRY(Config::load(session_, group_.id, pool_.lv.id));
    TRY(set_up_nbd(*nbd_, config));
    if (before == nullptr) TRY(listen_for_nbd(*nbd_, config, environment_.nbd_socket(pool_uuid)));
    served_ = std::make_unique<ServedPool>(reactor_, *local_);
    devices_ = std::make_unique<VolumeDevices>(
        DeviceServer{reactor_, local_->pool(), *nbd_, pool_uuid}, control_session_);
    exports_ = std::make_unique<ServedExports>(reactor_, *nbd_, *devices_, control_session_,
                                               environment_.nbd_socket(pool_uuid));
    opened_ = std::make_unique<OpenedVolumes>(*served_);
    owner_ = std::make_unique<PoolOwner>(control_session_, *served_, pool_, exports_.get());
    mover_ =
        std::make_unique<ServedMove>(control_session_, *served_, group_, pool_, request_mutex_);
    TRY(start_keeper(config));
    if (config.word("activation.privileges") == "least") TRY(give_up_privileges());
    control_socket_ = before != nullptr ? UniqueFd(before->control)
                                        : TRY(listen_on(environment_.control_socket(pool_uuid)));
    reactor_.watch(control_socket_.get(), EPOLLIN, [this](std::uint32_t) { accept_control(); });

    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::sigaddset(&set, SIGINT);
    ::sigaddset(&set, SIGHUP);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    reactor_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
        signalfd_siginfo info{};
        while (::read(signals_.get(), &info, sizeof info) == sizeof info) stop();
    });
    if (ring_)
        reactor_.watch(ring_->event_fd(), EPOLLIN, [this](std::uint32_t) { ring_->acknowledge(); });
    reactor_.every(tick_interval, [this] {
        local_->pool().tick(std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::steady_clock::now().time_since_epoch()));
    });
    return {};
}

Result<> Server::start_keeper(const Config& config) {
    idle_limit_ = std::chrono::seconds(config.number("activation.idle_timeout"));
    patience_ = std::chrono::seconds(config.number("activation.stop_timeout"));
    const auto set_levels = [this](const std::vector<unsigned>& levels) {
        served_->call([&](Pool& pool, PoolDevices&) {
            PoolFeatures features = pool.features();
            if (features.fill_levels == levels) return;
            features.fill_levels = levels;
            ignore(pool.set_features(features), "levels can always be set");
        });
    };
    keeper_ = std::make_unique<PoolKeeper>(
        TRY(Session::open(environment_)), pool_, config, events_,
        PoolKeeper::Server{[this](const PoolRequest& r) { return execute_own(r); }, set_levels});
    local_->pool().on_event([this](const PoolEvent& e) { keeper_->note(e); });
    keeper_->use_settings();
    return {};
}

// Beside the reactor, which block devices need to come up.
void Server::restore_exports(bool all) {
    const std::scoped_lock lock(request_mutex_);
    bool any = recover_devices();
    remembers_exports_ = all;
    if (all)
        any = export_again(read_active_list(environment_.active_list(pool_.lv.uuid)),
                           [&](const ThinRow& v) {
                               return exports_->has(v.lv.id) ? Result<>() : exports_->add(v);
                           }) ||
              any;
    if (any) served_->call([&](Pool&, PoolDevices&) { asked_to_activate_ = true; });
}

// Those that were left go on, as far as their volumes are there. What cannot go on now may do so
// when it is activated. Whether any does.
bool Server::recover_devices() {
    bool any = false;
    const auto volumes = control_session_.catalog.thins_of_pool(pool_.lv.id);
    if (!volumes) {
        fmt::print(stderr, "thinvold: {}\n", volumes.error().text);
        return false;
    }
    const std::vector<LeftDevice> all = devices_->left();
    for (const LeftDevice& left : all) {
        const auto volume = std::find_if(volumes->begin(), volumes->end(), [&](const ThinRow& v) {
            return v.thin_id == left.thin_id;
        });
        const auto say = [&](const std::string& text) {
            fmt::print(stderr, "thinvold: {} of the server before: {}\n", left.node, text);
        };
        if (!left.recoverable || volume == volumes->end()) {
            if (auto removed = devices_->remove_left(left); !removed) say(removed.error().text);
            continue;
        }
        const auto differences = exports_->recover(*volume);
        any = any || differences.has_value();
        if (!differences) say(differences.error().text);
        else std::for_each(differences->begin(), differences->end(), say);
    }
    return any;
}

// One volume that cannot be exported does not keep the others from it. Whether any was.
bool Server::export_again(const std::vector<std::int64_t>& ids,
                          const std::function<Result<>(const ThinRow&)>& add) {
    bool any = false;
    for (const std::int64_t id : ids) {
        const auto volume = control_session_.catalog.thin(id);
        const auto added = volume ? add(*volume) : Result<>(volume.error());
        any = any || added.has_value();
        if (!added) fmt::print(stderr, "thinvold: not exported again: {}\n", added.error().text);
    }
    return any;
}

void Server::take_over(const Succession& before) {
    remembers_exports_ = before.restore;
    export_again(before.exports, [&](const ThinRow& v) { return exports_->add_again(v); });
    asked_to_activate_ = true;
    nbd_->take_over(before);
    recover_devices();
    events_.begin_after(before.last_event);
    restarted_by_ = before.request_id;
    pause_ms_ = static_cast<std::uint64_t>((monotonic_ns() - before.began) / 1'000'000);
}

void Server::remember_exports() {
    if (!remembers_exports_) return;
    std::vector<std::int64_t> ids;
    for (const ActiveVolume& v : exports_->list()) ids.push_back(v.lv_id);
    if (auto written = write_active_list(environment_.active_list(pool_.lv.uuid), ids); !written)
        fmt::print(stderr, "thinvold: {}\n", written.error().text);
}

// Ends the reactor once clients and pool have come to rest, or after a while without them.
void Server::stop() {
    if (stopping_.exchange(true)) return;
    stop_began_ = std::chrono::steady_clock::now();
    events_.close();
    // Nobody is left to wait, for space or for discards at an even pace.
    PoolFeatures hurried = local_->pool().features();
    hurried.error_if_no_space = true;
    hurried.discard_rate = Bytes(0);
    ignore(local_->pool().set_features(hurried), "these two can always be set");
    local_->pool().commit_if_changed();
    reactor_.every(std::chrono::milliseconds(20), [] {});  // looks again soon
    if (devices_->none()) return end_exports();
    // The kernel writes what it still has for them.
    ender_ = std::thread([this] {
        const std::scoped_lock lock(request_mutex_);
        devices_->remove_all();
        served_->call([this](Pool&, PoolDevices&) { end_exports(); });
    });
}

void Server::end_exports() {
    nbd_->shut_down();
    exports_ended_ = true;
}

void Server::serve(const std::function<void()>& restored, bool all) {
    bool at_rest = false;
    const auto began = std::chrono::steady_clock::now();
    std::thread starter;
    reactor_.set_work([&] {
        keeper_->start();
        if (restored && !starter.joinable()) {
            ++executing_;
            starter = std::thread([&] {
                restore_exports(all);
                restored();
                --executing_;
            });
        }
        const bool progress = local_->pool().run_once();
        const bool sent = nbd_->run_once();
        if (progress || sent) return true;
        const auto now = std::chrono::steady_clock::now();
        if (!asked_to_activate_ && executing_ == 0 && now - began > idle_limit_) stop();
        if (!stopping_) return false;
        at_rest = executing_ == 0 && exports_ended_ && !nbd_->has_connections() &&
                  local_->pool().status().settled;
        if (at_rest || now - stop_began_ > patience_) reactor_.stop();
        return false;
    });
    reactor_.run();
    if (!at_rest) {
        // A device or client hangs. What was flushed is durable; the lock goes with the process.
        fmt::print(stderr, "thinvold: giving up waiting for requests in flight\n");
        std::_Exit(1);
    }
    if (starter.joinable()) starter.join();
    if (ender_.joinable()) ender_.join();
    keeper_->stop();
    // Whoever waits for an answer gets it; whoever would ask now is cut off and asks the next
    // owner.
    reactor_.forget(control_socket_.get());
    control_socket_.reset();
    for (ControlConnection& connection : control_) ::shutdown(connection.socket.get(), SHUT_RD);
    for (ControlConnection& connection : control_) connection.thread.join();
    environment_.remove_sockets(pool_.lv.uuid);
    std::error_code ignored;
    std::filesystem::remove(environment_.active_list(pool_.lv.uuid), ignored);
}

// --- control -------------------------------------------------------------------------------------

void Server::accept_control() {
    control_.remove_if([](ControlConnection& c) {
        if (c.ended) c.thread.join();
        return c.ended.load();
    });
    UniqueFd client(::accept4(control_socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client || !peer_may_connect(client.get()) || control_.size() >= control_connections_max ||
        stopping_)
        return;
    ControlConnection& connection = control_.emplace_back();
    connection.socket = std::move(client);
    connection.thread = std::thread([this, &connection] { converse(connection); });
}

void Server::converse(ControlConnection& connection) {
    const int fd = connection.socket.get();
    Holdings holdings;
    bool going = send_hello(fd).has_value();
    while (going) {
        const auto text = receive_frame(fd);
        if (!text || !*text) break;
        ++executing_;
        // Of one that ends, the client asks the next owner.
        going = !stopping_ && answer(fd, **text, holdings);
        --executing_;
    }
    if (holdings.pinned)
        served_->call([&](Pool& pool, PoolDevices&) { pool.unpin(holdings.pinned->pin); });
    if (holdings.opened) {
        holdings.opened.reset();
        stop_if_unused();
    }
    ::shutdown(fd, SHUT_RDWR);
    connection.ended = true;
}

bool Server::answer(int fd, const std::string& text, Holdings& holdings) {
    const auto request = request_from_json(text);
    if (const auto* io = request ? std::get_if<VolumeIoRequest>(&request->what) : nullptr)
        return holdings.opened && holdings.opened->serve(fd, *io);
    std::vector<std::byte> following;
    const auto answer =
        request ? execute(*request, holdings, following) : Result<PoolAnswer>(request.error());
    const bool going =
        send_frame(fd, to_json(answer)).has_value() && send_bytes(fd, following).has_value();
    if (request && std::holds_alternative<ActivateRequest>(request->what))
        served_->call([&](Pool&, PoolDevices&) { asked_to_activate_ = true; });
    stop_if_unused();
    return going;
}

void Server::stop_if_unused() {
    served_->call([&](Pool&, PoolDevices&) {
        if (asked_to_activate_ && nbd_->empty() && opened_->none()) stop();
    });
}

Result<PoolAnswer> Server::execute(const PoolRequest& request, Holdings& holdings,
                                   std::vector<std::byte>& following) {
    if (std::holds_alternative<PinRequest>(request.what)) return pin(holdings.pinned, following);
    if (const auto* wait = std::get_if<WaitEventsRequest>(&request.what)) {
        PoolAnswer answer;
        answer.events = events_.after(
            wait->after, std::chrono::milliseconds(std::min(wait->wait_ms, longest_wait_ms)));
        return answer;
    }
    if (const auto* read_request = std::get_if<ReadMetadataRequest>(&request.what)) {
        if (!holdings.pinned)
            return Error(Errc::invalid_argument, "nothing is pinned on this connection");
        return read(*holdings.pinned, *read_request, following);
    }
    if (std::holds_alternative<StatusRequest>(request.what)) {
        PoolAnswer answer = owner_->status();
        if (opened_->count() > 0)
            answer.warnings.emplace_back("a volume is being imported or exported");
        return answer;
    }
    if (const auto* piece = std::get_if<MovePieceRequest>(&request.what))
        return mover_->move(*piece);
    const std::scoped_lock lock(request_mutex_);
    if (std::holds_alternative<RestartRequest>(request.what)) return restart(request.id);
    if (const auto* wanted = std::get_if<OpenVolumeRequest>(&request.what))
        return open(*wanted, holdings);
    TRY(opened_->check_may(control_session_.catalog, request));
    auto answer = owner_->execute(request);
    if (std::holds_alternative<RefreshRequest>(request.what)) keeper_->reload();
    if (std::holds_alternative<ActivateRequest>(request.what) ||
        std::holds_alternative<DeactivateRequest>(request.what) ||
        std::holds_alternative<RemoveVolumesRequest>(request.what))
        remember_exports();
    return answer;
}

// --- handing over --------------------------------------------------------------------------------

// Answered by the program that succeeds, when it is asked again.
Result<PoolAnswer> Server::restart(const std::string& request_id) {
    if (request_id == restarted_by_) {
        PoolAnswer answer;
        answer.pause_ms = pause_ms_;
        return answer;
    }
    if (opened_->count() > 0)
        return Error(Errc::busy, "a volume is being imported or exported: try again after that");
    bool moving = false;
    bool lost_changes = false;
    served_->call([&](Pool& pool, PoolDevices& devices) {
        moving = devices.moving() != nullptr;
        lost_changes = pool.status().lost_changes;
    });
    if (moving)
        return Error(Errc::busy, "a piece of the pool is being moved: try again after that");
    if (lost_changes)
        return Error(Errc::io_error,
                     "changes were lost, which clients learn from this server only: "
                     "deactivate the pool's volumes, and check it");
    TRY(devices_->check_outlives());
    TRY(check_successor(program_));
    Succession next;
    next.request_id = request_id;
    next.began = monotonic_ns();
    const auto end = std::chrono::steady_clock::now() + rest_patience;
    served_->call([&](Pool&, PoolDevices&) { nbd_->pause(); });
    while (std::chrono::steady_clock::now() < end) {
        served_->call([&](Pool& pool, PoolDevices& devices) {
            if (comes_to_rest(pool, devices)) hand_over(next);
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::string trouble;
    served_->call([&](Pool& pool, PoolDevices&) {
        nbd_->resume();
        trouble = pool.status().trouble;
    });
    return Error(Errc::busy,
                 fmt::format("requests in flight have not come to an end within {} s{}; "
                             "clients go on with the server there is",
                             rest_patience.count(), trouble.empty() ? "" : " (" + trouble + ")"));
}

// Whether no request is in flight, and what was acknowledged is committed.
bool Server::comes_to_rest(Pool& pool, PoolDevices& devices) {
    if (!nbd_->quiet()) return false;
    pool.commit_if_changed();
    return pool.status().committed && devices.data().in_flight() == 0 &&
           devices.metadata().in_flight() == 0;
}

// On the pool's thread, so that nothing begins any more; but by another, because the ublk driver
// wants a device's queues from somebody else once the threads that served them have ended, and the
// one that calls exec() does not. If it fails, the threads of the clients are gone: it is as after
// a crash.
void Server::hand_over(Succession& next) {
    next.last_event = events_.last();
    next.lock = local_->lock().fd();
    next.control = control_socket_.get();
    next.restore = remembers_exports_;
    nbd_->hand_over(next);
    std::thread([&] {
        const Error error = succeed(next, program_, pool_.lv.uuid);
        fmt::print(stderr, "thinvold: {}\n", error.text);
        std::_Exit(1);
    }).join();
    std::abort();
}

Result<PoolAnswer> Server::open(const OpenVolumeRequest& request, Holdings& holdings) {
    if (holdings.opened) return Error(Errc::exists, "this connection has a volume open already");
    const ThinRow volume = TRY(control_session_.catalog.thin(request.lv_id));
    if (exports_->has(request.lv_id))
        return Error(Errc::busy, fmt::format("Logical volume {} is active", volume.lv.name));
    holdings.opened = TRY(opened_->open(volume, request.writing));
    return PoolAnswer{};
}

Result<PoolAnswer> Server::execute_own(const PoolRequest& request) {
    ++executing_;
    Result<PoolAnswer> answer = Error(Errc::busy, "the server ends");
    if (!stopping_ && std::holds_alternative<StatusRequest>(request.what)) {
        answer = owner_->status();
    } else if (!stopping_) {
        const std::scoped_lock lock(request_mutex_);
        answer = owner_->execute(request);
    }
    --executing_;
    return answer;
}

Result<PoolAnswer> Server::pin(std::optional<PinnedReader>& pinned,
                               std::vector<std::byte>& following) {
    if (pinned) return Error(Errc::exists, "this connection has a pinned transaction already");
    Result<Pool::Pin> taken = Error(Errc::io_error, "not pinned");
    std::uint64_t blocks = 0;
    served_->call([&](Pool& pool, PoolDevices&) {
        taken = pool.pin();
        blocks = pool.status().metadata_size.n;
    });
    PinnedReader reader{TRY(std::move(taken)), nullptr, 0};
    if (auto opened = open_pinned(reader); !opened) {
        served_->call([&](Pool& pool, PoolDevices&) { pool.unpin(reader.pin); });
        return std::move(opened).error();
    }
    const Pool::Pin& pin = pinned.emplace(std::move(reader)).pin;
    PoolAnswer answer;
    answer.metadata_blocks = blocks;
    answer.bytes_following = pin.superblock.size();
    following.assign(pin.superblock.begin(), pin.superblock.end());
    return answer;
}

// With the turn, so that no piece of the metadata changes hands meanwhile.
Result<> Server::open_pinned(PinnedReader& pinned) {
    const std::scoped_lock lock(request_mutex_);
    pinned.layout = local_->devices().layout();
    pinned.devices = TRY(PoolDevices::open_beside(control_session_, group_, pool_));
    return {};
}

Result<PoolAnswer> Server::read(PinnedReader& pinned, const ReadMetadataRequest& request,
                                std::vector<std::byte>& following) {
    if (request.count == 0 || request.count > read_blocks_max) {
        return Error(Errc::invalid_argument, fmt::format("{} blocks at once, the most is {}",
                                                         request.count, read_blocks_max));
    }
    following.resize(request.count * metadata_block_bytes);
    for (;;) {
        auto outcome =
            read_now(pinned.devices->metadata(),
                     Sector(request.first * (metadata_block_bytes / sector_bytes)), following);
        // The layout changes before anybody else gets the places given up: what was read while it
        // is as it was is the pool's.
        if (pinned.layout == local_->devices().layout()) {
            TRY(std::move(outcome));
            break;
        }
        TRY(open_pinned(pinned));
    }
    PoolAnswer answer;
    answer.bytes_following = following.size();
    return answer;
}

}  // namespace

Result<> run_pool_server(const Environment& environment, const std::string& pool_uuid,
                         const ServerStart& how,
                         const std::function<void(const Result<>&)>& ready) {
    bool restore = false;
    const auto start = [&]() -> Result<std::unique_ptr<Server>> {
        std::optional<Succession> before;
        if (how.succeed >= 0) before = TRY(take_succession(how.succeed));
        auto server = std::make_unique<Server>(environment, TRY(Session::open(environment)),
                                               TRY(Session::open(environment)));
        TRY(server->open(pool_uuid, before ? &*before : nullptr));
        if (before) server->take_over(*before);
        restore = !before && (how.restore || server->has_left_devices());
        return server;
    };
    auto server = start();
    if (!server || !restore) ready(server ? Result<>() : Result<>(server.error()));
    if (!server) return std::move(server).error();
    std::function<void()> restored;
    if (restore) restored = [&] { ready({}); };
    (*server)->serve(restored, how.restore);
    return {};
}

}  // namespace thinvol
