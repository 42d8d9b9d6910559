#include "libvm/nbd_clients.h"

#include <algorithm>

#include "libvm/nbd_connection.h"
#include "libvm/nbd_server.h"

namespace thinvol {

NbdClients::NbdClients(NbdServer& server, Reactor& reactor, Pool& pool)
    : server_(server), reactor_(reactor), pool_(&pool) {}

NbdClients::NbdClients(NbdServer& server, Reactor& reactor, Lane& lane, std::size_t number)
    : server_(server), reactor_(reactor), lane_(&lane), number_(number) {}

NbdClients::~NbdClients() = default;

void NbdClients::add(std::unique_ptr<NbdConnection> connection) {
    connection->settle_in(*this);
    connections_.push_back(std::move(connection));
}

void NbdClients::adopt(std::unique_ptr<NbdConnection> connection) {
    ++count_;
    {
        const std::scoped_lock lock(mutex_);
        arrived_.push_back(std::move(connection));
    }
    any_arrived_ = true;
    wake();
}

void NbdClients::add(DeviceQueue& queue) {
    ++count_;
    queues_.push_back(&queue);
}

void NbdClients::remove(DeviceQueue& queue) { count_ -= std::erase(queues_, &queue); }

void NbdClients::take_in_arrived() {
    if (!any_arrived_ || !any_arrived_.exchange(false)) return;
    std::vector<std::unique_ptr<NbdConnection>> arrived;
    {
        const std::scoped_lock lock(mutex_);
        arrived.swap(arrived_);
    }
    for (auto& connection : arrived) add(std::move(connection));
}

void NbdClients::sweep() {
    buffers_.tick();
    for (auto& connection : connections_) {
        if (connection->negotiates_too_long()) connection->close();
        if (connection->hoards()) connection->drop();
    }
}

// Who holds it, and when they give some back, is another thread's business.
void NbdClients::look_again_soon() {
    if (!ask_for_memory_at_)
        ask_for_memory_at_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(10);
    reactor_.wake_at(*ask_for_memory_at_);
}

void NbdClients::ask_for_memory_again() {
    if (!ask_for_memory_at_) return;
    if (std::chrono::steady_clock::now() < *ask_for_memory_at_)
        return reactor_.wake_at(*ask_for_memory_at_);
    ask_for_memory_at_.reset();
    for (auto& connection : connections_)
        if (connection->waits_for_memory()) connection->want_a_look();
}

bool NbdClients::run_once() {
    take_in_arrived();
    if (server_.shutting_down()) {
        for (auto& connection : connections_) connection->want_a_look();
        reactor_.wake_at(std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
    }
    ask_for_memory_again();
    const bool started = start_held();
    bool progress = look() || started;
    for (DeviceQueue* queue : queues_) progress = queue->run_once(server_.paused()) || progress;
    look_for_quiet();
    return progress;
}

void NbdClients::look_for_quiet() {
    if (!server_.paused()) {
        if (!quiet_) return;
        quiet_ = false;
        for (auto& connection : connections_) connection->want_a_look();
        return;
    }
    const bool grace_is_over = server_.grace_is_over();
    quiet_ = !any_arrived_ &&
             std::all_of(connections_.begin(), connections_.end(),
                         [&](const std::unique_ptr<NbdConnection>& connection) {
                             return connection->is_quiet(grace_is_over);
                         }) &&
             std::all_of(queues_.begin(), queues_.end(),
                         [](const DeviceQueue* queue) { return queue->quiet(); });
    reactor_.wake_at(std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
}

void NbdClients::hand_over(std::vector<HandedClient>& to) {
    for (auto& connection : connections_)
        if (auto client = connection->hand_over()) to.push_back(std::move(*client));
}

bool NbdClients::look() {
    bool progress = false;
    bool any_gone = false;
    looked_at_.swap(to_look_at_);
    for (NbdConnection* connection : looked_at_) {
        progress = connection->run_once() || progress;
        any_gone = any_gone || connection->closed() || connection->has_agreed();
    }
    looked_at_.clear();
    if (!any_gone) return progress;
    std::erase_if(to_look_at_, [](const NbdConnection* connection) {
        return connection->closed() || connection->has_agreed();
    });
    for (auto& connection : connections_) {
        if (connection->closed() && connection->is_placed()) --count_;
        if (connection->closed()) connection.reset();
        else if (connection->has_agreed()) server_.place(std::move(connection));
    }
    std::erase(connections_, nullptr);
    return true;
}

bool NbdClients::holds(NbdExport& exported, std::unique_ptr<NbdRequest>& request) {
    auto held = std::find_if(held_.begin(), held_.end(),
                             [&](const Held& h) { return h.exported == &exported; });
    const bool others_wait = held != held_.end();
    if (!exported.must_wait(request->io, others_wait)) return false;
    if (!others_wait) held = held_.emplace(held_.end(), &exported);
    held->requests.push_back(std::move(request));
    return true;
}

// What limits let go now; where the server is to end, all of it.
bool NbdClients::start_held() {
    if (held_.empty()) return false;
    bool progress = false;
    std::vector<std::unique_ptr<NbdRequest>> ready;
    const auto now = std::chrono::steady_clock::now();
    for (Held& held : held_) {
        while (!held.requests.empty() &&
               held.exported->may_start(held.requests.front()->io, now,
                                        server_.shutting_down() || server_.paused())) {
            ready.push_back(std::move(held.requests.front()));
            held.requests.pop_front();
        }
        if (!held.requests.empty()) reactor_.wake_at(held.exported->ready_at());
    }
    std::erase_if(held_, [](const Held& held) { return held.requests.empty(); });
    for (auto& request : ready) {
        NbdConnection& connection = *request->connection;
        connection.start_held(std::move(request));
        progress = true;
    }
    return progress;
}

std::size_t NbdClients::drop_held(const NbdConnection& connection) {
    std::size_t dropped = 0;
    for (Held& held : held_)
        dropped += std::erase_if(held.requests, [&](const std::unique_ptr<NbdRequest>& request) {
            return request->connection == &connection;
        });
    std::erase_if(held_, [](const Held& held) { return held.requests.empty(); });
    return dropped;
}

}  // namespace thinvol
