#include "libvm/nbd_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "libvm/nbd_server.h"

namespace thinvol {
namespace {

using nbd::Command;
using nbd::load_be;

constexpr std::size_t input_bytes = 256 << 10;
static_assert(input_bytes >= NbdNegotiation::longest_message);
constexpr std::uint64_t skipped_payload_max =
    64 << 20;  // a refused write as large as this is still read away
// Zeroes that must be written, at once: each block of them is a part in memory.
constexpr std::uint64_t written_zeroes_max = 0xffffffff;
// Behind the head of one, the next is expected: its payload is received where it belongs.
constexpr std::size_t large_write = 64 << 10;
constexpr std::size_t requests_max = 512;
constexpr std::size_t held_bytes_max = 64 << 20;
constexpr std::size_t idle_requests_max = 64;
constexpr std::size_t status_extents_max = 2048;
constexpr std::size_t status_held = status_extents_max * 48;  // as extents, and as an answer

std::uint32_t error_number(const IoRequest& io) {
    switch (io.outcome.error().code) {
        case Errc::out_of_space: return nbd::error_no_space;
        case Errc::read_only: return nbd::error_perm;
        case Errc::invalid_argument: return nbd::error_invalid;
        case Errc::unsupported: return io.fast_only ? nbd::error_unsupported : nbd::error_io;
        default: return nbd::error_io;
    }
}

bool has_payload(Command command) { return command == Command::read || command == Command::write; }

bool changes(Command command) {
    return command == Command::write || command == Command::trim ||
           command == Command::write_zeroes;
}

}  // namespace

NbdConnection::NbdConnection(NbdServer& server, UniqueFd socket)
    : server_(server),
      socket_(std::move(socket)),
      peer_(peer_at(socket_.get())),
      negotiation_(server, peer_),
      input_(input_bytes),
      memory_(server.memory()) {
    outgoing_.push_back({negotiation_.take_output(), nullptr});
    server_.connection_began();
}

NbdConnection::NbdConnection(NbdServer& server, UniqueFd socket, const NbdAgreement& agreed,
                             bool attached)
    : NbdConnection(server, std::move(socket)) {
    outgoing_.clear();  // the greeting
    agreed_ = agreed;
    attached_ = attached;
    ++agreed_.exported->clients;
    if (attached) ++agreed_.exported->attached;
    state_ = State::agreed;
}

NbdConnection::~NbdConnection() {
    ASSERT(in_flight_ == 0);
    server_.connection_ended();
}

void NbdConnection::settle_in(NbdClients& clients) {
    clients_ = &clients;
    if (agreed_.exported != nullptr) {
        state_ = State::transmitting;
        placed_ = true;
    }
    events_ = EPOLLIN;
    clients.reactor().watch(socket_.get(), events_,
                            [this](std::uint32_t events) { on_event(events); });
    wants_a_look_ = false;
    want_a_look();
}

void NbdConnection::leave() { clients_->reactor().forget(socket_.get()); }

void NbdConnection::continue_from(const HandedClient& before) {
    const auto input = std::as_bytes(std::span(before.input));
    input_.resize(std::max(input_.size(), input.size()));
    std::copy(input.begin(), input.end(), input_.begin());
    input_end_ = input.size();
    const auto output = std::as_bytes(std::span(before.output));
    if (!output.empty()) outgoing_.push_back({{output.begin(), output.end()}, nullptr});
}

// Who negotiates may come to an end of that, who does not read his answers holds nobody up.
bool NbdConnection::is_quiet(bool grace_is_over) const {
    if (in_flight_ > 0) return false;
    return grace_is_over || state_ == State::closed ||
           (state_ == State::transmitting && !holds_back());
}

// The keys of a TLS session are not handed over: its client is told that it ends, and comes again.
std::optional<HandedClient> NbdConnection::hand_over() {
    if (tls_ != nullptr && state_ == State::transmitting) tls_->say_goodbye();
    if (state_ != State::transmitting || tls_ != nullptr || skip_ > 0) return std::nullopt;
    HandedClient client;
    client.socket = socket_.get();
    client.lv_id = agreed_.exported->lv_id;
    client.may_write = agreed_.may_write;
    client.attached = attached_;
    client.replies = agreed_.replies;
    client.contexts = agreed_.contexts;
    const auto append = [](std::vector<std::uint8_t>& to, const void* bytes, std::size_t n) {
        const auto* from = static_cast<const std::uint8_t*>(bytes);
        to.insert(to.end(), from, from + n);
    };
    if (payload_ != nullptr) {
        append(client.input, payload_head_.data(),
               agreed_.replies == NbdReplies::extended ? nbd::extended_request_bytes
                                                       : nbd::request_bytes);
        append(client.input, payload_->payload.bytes(), payload_have_);
    }
    append(client.input, input(), available());
    for (const Outgoing& out : outgoing_) {
        if (out.request == nullptr) append(client.output, out.head.data(), out.head.size());
        else
            for (const iovec& piece : out.request->pieces)
                append(client.output, piece.iov_base, piece.iov_len);
    }
    const auto sent = static_cast<std::ptrdiff_t>(sent_of_front_);
    client.output.erase(client.output.begin(), client.output.begin() + sent);
    return client;
}

void NbdConnection::want_a_look() {
    if (!std::exchange(wants_a_look_, true)) clients_->look_at(*this);
}

bool NbdConnection::negotiates_too_long() const {
    return (state_ == State::negotiating || state_ == State::securing) &&
           std::chrono::steady_clock::now() - began_ > server_.limits().negotiation;
}

// Others wait for what it holds, and it is not we who are slow.
bool NbdConnection::hoards() {
    constexpr std::uint64_t least = 1 << 20;  // between two sweeps
    const bool slow = moved_ - std::exchange(moved_at_sweep_, moved_) < least;
    const bool before = std::exchange(was_slow_, slow && memory_.has_share() && in_flight_ == 0);
    return before && was_slow_ && server_.memory().is_short();
}

void NbdConnection::drop() {
    drop_answers();
    close();
}

void NbdConnection::close() {
    if (state_ == State::closing || state_ == State::closed) return;
    state_ = State::closing;
    end_of_input_ = true;
    if (payload_ != nullptr) memory_.release(payload_->held);
    payload_.reset();
    memory_.stop_waiting();
    want_a_look();
}

void NbdConnection::on_event(std::uint32_t events) {
    readable_ = readable_ || (events & EPOLLIN) != 0;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        drop();
    }
    want_a_look();
}

// Nobody reads them any more; nor does anybody miss what did not begin.
void NbdConnection::drop_answers() {
    for (Outgoing& out : outgoing_) {
        if (out.request != nullptr) memory_.release(out.request->held);
    }
    outgoing_.clear();
    sent_of_front_ = 0;
    in_flight_ -= clients_->drop_held(*this);
    if (tls_ != nullptr) tls_->give_up();
}

bool NbdConnection::run_once() {
    wants_a_look_ = false;
    if (state_ == State::closed) return false;
    bool progress = state_ == State::securing && secure();
    while (may_read() && (parse() || (readable_ && !memory_.waits() && receive()))) progress = true;
    progress = send_answers() || progress;
    if (ended()) {
        disconnect();
        return true;
    }
    set_events();
    const bool at_rest = state_ == State::transmitting && available() == 0 && !readable_;
    if (progress && !at_rest) want_a_look();
    return progress;
}

void NbdConnection::disconnect() {
    if (tls_ != nullptr) tls_->say_goodbye();
    tls_.reset();  // the descriptor's number may be another client's next
    clients_->reactor().forget(socket_.get());
    socket_.reset();
    if (agreed_.exported != nullptr) --agreed_.exported->clients;
    if (attached_) --agreed_.exported->attached;  // the last that is done with the export
    state_ = State::closed;
}

// Takes the TLS handshake as far as it goes without waiting. True if it ended.
bool NbdConnection::secure() {
    if (!outgoing_.empty()) return false;  // the word that it may begin
    if (tls_ == nullptr) tls_ = std::make_unique<TlsChannel>(server_.tls(), socket_.get());
    else if (!readable_ && !tls_->holds_back()) return false;
    readable_ = false;
    const TlsChannel::Progress progress = tls_->handshake();
    if (progress == TlsChannel::Progress::again) return false;
    if (progress == TlsChannel::Progress::failed) {
        drop();
        return true;
    }
    TlsChannel::Identity identity = tls_->identity();
    peer_.certificate = std::move(identity.certificate);
    peer_.key = std::move(identity.key);
    negotiation_ = NbdNegotiation::secured(negotiation_);
    state_ = State::negotiating;
    readable_ = true;
    return true;
}

// Whether something is still to be sent.
bool NbdConnection::holds_back() const {
    return !outgoing_.empty() || (tls_ != nullptr && tls_->holds_back());
}

// Also of a client that stays while the server wants to end: once it had time to notice.
bool NbdConnection::ended() const {
    if (in_flight_ > 0 || holds_back()) return false;
    return state_ == State::closing || server_.gave_notice();
}

// (2) A client that sends faster than it is served, or does not take its answers, waits.
bool NbdConnection::may_read() const {
    if (end_of_input_) return false;
    if (state_ == State::negotiating) return outgoing_.empty();
    return state_ == State::transmitting && !server_.paused() &&
           in_flight_ + outgoing_.size() < requests_max && memory_.held() < held_bytes_max;
}

void NbdConnection::set_events() {
    if (state_ == State::closed) return;
    const bool reads =
        (may_read() && !memory_.waits()) || (state_ == State::securing && tls_ != nullptr);
    const std::uint32_t wanted =
        (reads ? std::uint32_t{EPOLLIN} : 0) | (holds_back() ? std::uint32_t{EPOLLOUT} : 0);
    if (wanted != events_) clients_->reactor().change(socket_.get(), events_ = wanted);
}

ssize_t NbdConnection::receive(std::byte* into, std::size_t room) {
    if (tls_ != nullptr) {
        const ssize_t n = tls_->receive(into, room);
        readable_ = n > 0;  // there may be more that poll() does not show
        return n;
    }
    const ssize_t n = ::recv(socket_.get(), into, room, MSG_DONTWAIT);
    if (n >= 0 || errno != EINTR)
        readable_ = n == static_cast<ssize_t>(room);  // a short read took all there was
    return n;
}

// Reads what there is: into the payload of a write that is under way, else into the input buffer.
bool NbdConnection::receive() {
    std::byte* into = nullptr;
    std::size_t room = 0;
    if (payload_ != nullptr) {
        into = payload_->payload.bytes() + payload_have_;
        room = payload_->io.length.n - payload_have_;
    } else {
        if (input_begin_ > 0) {
            std::memmove(input_.data(), input(), available());
            input_end_ = available();
            input_begin_ = 0;
        }
        into = input_.data() + input_end_;
        room = input_.size() - input_end_;
        if (large_writes_ && available() < nbd::request_bytes)
            room = nbd::request_bytes - available();
    }
    ASSERT(room > 0);
    const ssize_t n = receive(into, room);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
        if (n < 0) drop_answers();
        close();
        return false;
    }
    moved_ += static_cast<std::size_t>(n);
    if (payload_ != nullptr) payload_have_ += static_cast<std::size_t>(n);
    else input_end_ += static_cast<std::size_t>(n);
    return true;
}

// One message, or a part of it. False: more input is needed first.
bool NbdConnection::parse() {
    return state_ == State::negotiating ? parse_negotiation() : parse_transmission();
}

bool NbdConnection::parse_negotiation() {
    const std::size_t taken = negotiation_.take({input(), available()});
    consume(taken);
    if (auto said = negotiation_.take_output(); !said.empty())
        outgoing_.push_back({std::move(said), nullptr});
    if (negotiation_.state() == NbdNegotiation::State::ended) close();
    if (negotiation_.state() == NbdNegotiation::State::securing) {
        // What came before the handshake, unasked for, is nothing that TLS would vouch for.
        if (available() > 0) close();
        else state_ = State::securing;
    }
    if (negotiation_.state() == NbdNegotiation::State::agreed) {
        agreed_ = negotiation_.agreement();
        ++agreed_.exported->clients;
        state_ = State::agreed;
    }
    return taken > 0;
}

// --- transmission --------------------------------------------------------------------------------

bool NbdConnection::parse_transmission() {
    if (skip_ > 0) {
        const std::size_t n = std::min<std::uint64_t>(skip_, available());
        consume(n);
        skip_ -= n;
        if (skip_ == 0) answer(std::move(refused_), refusal_.error, refusal_.text);
        return n > 0;
    }
    if (payload_ == nullptr) return take_command();
    const std::size_t n = std::min(payload_->io.length.n - payload_have_, available());
    std::memcpy(payload_->payload.bytes() + payload_have_, input(), n);
    consume(n);
    payload_have_ += n;
    if (payload_have_ < payload_->io.length.n) return false;
    submit(std::exchange(payload_, nullptr));
    return true;
}

// Whether a payload of the right size says which contexts a request is about.
bool NbdConnection::has_filter(const Header& header) {
    constexpr std::size_t ids_max = 2;
    return header.extended && header.command == Command::block_status &&
           (header.flags & nbd::command_payload_len) != 0 && header.length > nbd::filter_bytes &&
           header.length % nbd::filter_id_bytes == 0 &&
           header.length <= nbd::filter_bytes + ids_max * nbd::filter_id_bytes;
}

NbdConnection::Header NbdConnection::read_header() const {
    const std::byte* p = input();
    const bool extended = agreed_.replies == NbdReplies::extended;
    return {load_be<std::uint16_t>(p + 4),
            static_cast<Command>(load_be<std::uint16_t>(p + 6)),
            load_be<std::uint64_t>(p + 8),
            load_be<std::uint64_t>(p + 16),
            extended ? load_be<std::uint64_t>(p + 24) : load_be<std::uint32_t>(p + 24),
            extended,
            agreed_.contexts,
            0};
}

// Takes the payload of a BLOCK_STATUS into the header, once it is there. One that is wrong stays,
// with its flag, to be refused.
void NbdConnection::read_filter(Header& header) const {
    const std::byte* p = input() + nbd::extended_request_bytes;
    NbdContexts told;
    for (std::size_t at = nbd::filter_bytes; at < header.length; at += nbd::filter_id_bytes) {
        const auto id = load_be<std::uint32_t>(p + at);
        bool& context = id == allocation_id ? told.allocation : told.sharing;
        const bool selected = id == allocation_id ? agreed_.contexts.allocation
                                                  : id == sharing_id && agreed_.contexts.sharing;
        if (!selected || std::exchange(context, true)) return;
    }
    header.filter = header.length;
    header.length = load_be<std::uint64_t>(p);
    header.contexts = told;
    header.flags &= static_cast<std::uint16_t>(~nbd::command_payload_len);
}

bool NbdConnection::take_command() {
    const bool extended = agreed_.replies == NbdReplies::extended;
    const std::size_t size = extended ? nbd::extended_request_bytes : nbd::request_bytes;
    if (available() < size) return false;
    if (load_be<std::uint32_t>(input()) !=
        (extended ? nbd::magic_extended_request : nbd::magic_request))
        return close(), true;
    Header header = read_header();
    if (has_filter(header)) {
        if (available() < size + header.length) return false;
        read_filter(header);
    }
    if (header.command == Command::disconnect) return close(), true;
    const Refusal refusal = check(header);
    if (refusal.error == 0 && !memory_.hold(memory_for(header)))
        return clients_->look_again_soon(), false;
    std::memcpy(payload_head_.data(), input(), size);
    consume(size + header.filter);

    auto request = new_request();
    request->command = header.command;
    request->cookie = header.cookie;
    request->offset = header.offset;
    if (refusal.error != 0) return refuse(std::move(request), header, refusal);
    prepare(*request, header);
    if (header.command == Command::write && header.length > 0) {
        payload_ = std::move(request);
        payload_have_ = 0;
    } else if (header.command == Command::cache) {
        answer(std::move(request), 0);  // the page cache and the mapping cache do what pays
    } else {
        submit(std::move(request));
    }
    return true;
}

std::size_t NbdConnection::memory_for(const Header& header) {
    if (header.command == Command::block_status) return status_held;
    return has_payload(header.command) ? header.length : 0;
}

NbdConnection::Refusal NbdConnection::check_flags(const Header& header) const {
    std::uint16_t allowed = nbd::command_fua;
    const bool payload = (header.flags & nbd::command_payload_len) != 0;
    switch (header.command) {
        case Command::read:
            if (agreed_.replies != NbdReplies::simple) allowed |= nbd::command_df;
            break;
        case Command::write:
            if (header.extended && !payload)
                return {nbd::error_invalid, "a write without the flag for its payload"};
            if (header.extended) allowed |= nbd::command_payload_len;
            break;
        case Command::write_zeroes: allowed |= nbd::command_no_hole | nbd::command_fast_zero; break;
        case Command::block_status: allowed |= nbd::command_req_one; break;
        default: break;
    }
    if ((header.flags & ~allowed) != 0)
        return {nbd::error_invalid, "a flag that is unknown or not for this command"};
    return {};
}

// What is wrong with a request, as the protocol's error.
NbdConnection::Refusal NbdConnection::check(const Header& header) const {
    const NbdExport& exported = *agreed_.exported;
    const std::uint64_t size = exported.size;
    const bool inside = header.offset <= size && header.length <= size - header.offset;
    if (server_.shutting_down()) return {nbd::error_shutdown, "the server is shutting down"};
    if (const Refusal refusal = check_flags(header); refusal.error != 0) return refusal;
    if (changes(header.command) && (exported.read_only || !agreed_.may_write))
        return {nbd::error_perm, "the export is read-only"};
    if (header.command == Command::read && header.length > server_.limits().payload) {
        const bool whole = (header.flags & nbd::command_df) != 0;
        return {whole ? nbd::error_overflow : nbd::error_invalid,
                "a longer payload than the maximum"};
    }
    if (header.command == Command::write && header.length > server_.limits().payload)
        return {nbd::error_invalid, "a longer payload than the maximum"};
    switch (header.command) {
        case Command::write:
        case Command::write_zeroes:
            if (!inside) return {nbd::error_no_space, "past the end of the export"};
            break;
        case Command::read:
        case Command::trim:
        case Command::cache:
        case Command::block_status:
            if (!inside) return {nbd::error_invalid, "past the end of the export"};
            break;
        case Command::flush:
            if (header.offset != 0 || header.length != 0)
                return {nbd::error_invalid, "a flush with offset or length"};
            break;
        default: return {nbd::error_invalid, "a command that is unknown"};
    }
    const bool writes_zeroes =
        (header.flags & nbd::command_no_hole) != 0 || exported.external_origin != nullptr;
    if (header.command == Command::write_zeroes && writes_zeroes &&
        header.length > written_zeroes_max)
        return {nbd::error_overflow, "more zeroes to write than one request may ask for"};
    if (header.command == Command::block_status && (header.length == 0 || !header.contexts.any()))
        return {nbd::error_invalid, "a length of zero, or no meta context was selected"};
    return {};
}

// The payload is read away first, if it is not out of all proportion: clients look for answers once
// they have sent all of a request.
bool NbdConnection::refuse(std::unique_ptr<NbdRequest> request, const Header& header,
                           const Refusal& refusal) {
    const bool payload = header.extended ? (header.flags & nbd::command_payload_len) != 0
                                         : header.command == Command::write;
    if (payload && header.length > skipped_payload_max) return close(), true;
    if (!payload || header.length == 0) {
        answer(std::move(request), refusal.error, refusal.text);
        return true;
    }
    skip_ = header.length;
    refusal_ = refusal;
    refused_ = std::move(request);
    return true;
}

void NbdConnection::prepare(NbdRequest& request, const Header& header) {
    IoRequest& io = request.io;
    large_writes_ = header.command == Command::write && header.length >= large_write;
    io.fua = (header.flags & nbd::command_fua) != 0;
    io.keep_allocated = (header.flags & nbd::command_no_hole) != 0;
    io.fast_only = (header.flags & nbd::command_fast_zero) != 0;
    io.offset = ByteOffset(header.offset);
    io.length = Bytes(header.length);
    io.buffer = nullptr;
    io.extents = nullptr;
    request.extents.clear();
    request.contexts = header.contexts;
    request.held = memory_for(header);
    switch (header.command) {
        case Command::read: io.kind = IoKind::read; break;
        case Command::write: io.kind = IoKind::write; break;
        case Command::trim: io.kind = IoKind::discard; break;
        case Command::write_zeroes: io.kind = IoKind::write_zeroes; break;
        case Command::block_status: io.kind = IoKind::status; break;
        default: io.kind = IoKind::flush; break;
    }
    if (has_payload(header.command)) {
        if (request.payload.capacity() < header.length || request.payload.bytes() == nullptr)
            request.payload = clients_->buffers().take(header.length);
        io.buffer = request.payload.bytes();
    }
    const bool whole = (header.flags & nbd::command_df) != 0;
    if (io.kind == IoKind::read && agreed_.replies != NbdReplies::simple && !whole)
        io.extents = &request.extents;
    if (io.kind == IoKind::status) {
        io.extents = &request.extents;
        io.most = (header.flags & nbd::command_req_one) != 0 ? 1 : status_extents_max;
    }
}

std::unique_ptr<NbdRequest> NbdConnection::new_request() {
    if (idle_requests_.empty()) {
        auto request = std::make_unique<NbdRequest>();
        request->connection = this;
        return request;
    }
    auto request = std::move(idle_requests_.back());
    idle_requests_.pop_back();
    return request;
}

void NbdConnection::submit(std::unique_ptr<NbdRequest> request) {
    if (clients_->holds(*agreed_.exported, request)) ++in_flight_;
    else start(std::move(request));
}

void NbdConnection::start_held(std::unique_ptr<NbdRequest> request) {
    --in_flight_;
    start(std::move(request));
}

void NbdConnection::start(std::unique_ptr<NbdRequest> request) {
    IoRequest& io = request->io;
    io.volume = agreed_.exported->volume;
    // The volume may have been reduced since the request was looked at.
    const bool writes = io.kind == IoKind::write || io.kind == IoKind::write_zeroes;
    if (io.offset.n + io.length.n > agreed_.exported->size)
        return answer(std::move(request), writes ? nbd::error_no_space : nbd::error_invalid,
                      "past the end of the export");
    ++in_flight_;
    io.owner = request.get();
    io.done = [](IoRequest& r) {
        std::unique_ptr<NbdRequest> answered(static_cast<NbdRequest*>(r.owner));
        NbdConnection& self = *answered->connection;
        --self.in_flight_;
        if (!r.outcome)
            return self.answer(std::move(answered), error_number(r), r.outcome.error().text);
        self.agreed_.exported->count(r, self.clients_->number());
        self.answer(std::move(answered), 0);
    };
    clients_->submit(request.release()->io);
}

void NbdConnection::answer(std::unique_ptr<NbdRequest> request, std::uint32_t error,
                           std::string_view text) {
    request->answer(agreed_, error, text);
    outgoing_.push_back({{}, std::move(request)});
    want_a_look();
}

// --- sending -------------------------------------------------------------------------------------

// What is to be sent next, as far as it fits; the number of bytes.
std::size_t NbdConnection::gather(std::span<iovec> parts, std::size_t& used) const {
    std::size_t skip = sent_of_front_;
    std::size_t total = 0;
    used = 0;
    const auto add = [&](const void* bytes, std::size_t n) {
        const std::size_t skipped = std::min(skip, n);
        skip -= skipped;
        if (n == skipped) return true;
        if (used == parts.size()) return false;
        parts[used++] = {static_cast<std::byte*>(const_cast<void*>(bytes)) + skipped, n - skipped};
        total += n - skipped;
        return true;
    };
    for (const Outgoing& out : outgoing_) {
        if (out.request == nullptr) {
            if (!add(out.head.data(), out.head.size())) return total;
            continue;
        }
        for (const iovec& piece : out.request->pieces) {
            if (!add(piece.iov_base, piece.iov_len)) return total;
        }
    }
    return total;
}

void NbdConnection::sent(std::size_t n) {
    moved_ += n;
    n += sent_of_front_;
    while (!outgoing_.empty()) {
        Outgoing& out = outgoing_.front();
        const std::size_t length =
            out.request == nullptr ? out.head.size() : out.request->answer_bytes;
        if (n < length) break;
        n -= length;
        if (out.request != nullptr) {
            memory_.release(std::exchange(out.request->held, 0));
            out.request->shrink();
            if (idle_requests_.size() < idle_requests_max)
                idle_requests_.push_back(std::move(out.request));
        }
        outgoing_.pop_front();
    }
    sent_of_front_ = n;
}

bool NbdConnection::send_answers() {
    bool progress = false;
    while (holds_back()) {
        std::array<iovec, 256> parts;
        msghdr message{};
        const std::size_t total = gather(parts, message.msg_iovlen);
        message.msg_iov = parts.data();
        ssize_t n = 0;
        if (tls_ == nullptr) n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (total > 0) n = tls_->send({parts.data(), message.msg_iovlen});
        else n = tls_->flush();
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) {
            drop();
            return true;
        }
        progress = true;
        sent(static_cast<std::size_t>(n));
        if (tls_ == nullptr && static_cast<std::size_t>(n) < total) break;
    }
    return progress;
}

}  // namespace thinvol
