#include "libvm/nbd_connection.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace thinvol {
namespace {

using nbd::load_be;
using nbd::store_be;

constexpr std::size_t input_bytes = 256 << 10;
constexpr std::uint32_t payload_max = 32 << 20;
constexpr std::uint32_t skipped_payload_max =
    64 << 20;  // a refused write as large as this is still read away
constexpr std::uint32_t option_data_max = 64 << 10;  // of options that are understood
constexpr std::uint32_t skipped_option_max = 4 << 20;
constexpr std::uint32_t options_max = 64;
constexpr auto negotiation_limit = std::chrono::seconds(30);
constexpr std::size_t requests_max = 512;
constexpr std::size_t held_bytes_max = 64 << 20;
constexpr std::size_t kept_buffer_max = 256 << 10;
constexpr std::size_t buffer_alignment = 4096;

std::uint32_t error_number(Errc code) {
    switch (code) {
        case Errc::out_of_space: return nbd::error_no_space;
        case Errc::read_only: return nbd::error_perm;
        case Errc::invalid_argument: return nbd::error_invalid;
        default: return nbd::error_io;
    }
}

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// One request of the client, with its payload and the head of its answer.
struct NbdConnection::Request {
    IoRequest io;
    NbdConnection* connection = nullptr;
    std::uint64_t cookie = 0;
    std::array<std::byte, nbd::simple_reply_bytes> head{};
    std::size_t reply_payload = 0;
    std::byte* buffer = nullptr;
    std::size_t capacity = 0;
    std::size_t held = 0;  // counted in bytes_held_

    void reserve(std::size_t n) {
        if (n <= capacity) return;
        release();
        capacity =
            std::max<std::size_t>(divide_up(n, buffer_alignment) * buffer_alignment, 16 << 10);
        buffer =
            static_cast<std::byte*>(::operator new(capacity, std::align_val_t(buffer_alignment)));
    }
    void release() {
        if (buffer != nullptr) ::operator delete(buffer, std::align_val_t(buffer_alignment));
        buffer = nullptr;
        capacity = 0;
    }
    Request() = default;
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;
    ~Request() { release(); }
};

NbdConnection::NbdConnection(NbdServer& server, UniqueFd socket)
    : server_(server), socket_(std::move(socket)), input_(input_bytes) {
    events_ = EPOLLIN;
    server_.reactor_.watch(socket_.get(), events_,
                           [this](std::uint32_t events) { on_event(events); });
    greet();
}

NbdConnection::~NbdConnection() { ASSERT(in_flight_ == 0); }

bool NbdConnection::negotiates_too_long() const {
    return state_ == State::negotiating &&
           std::chrono::steady_clock::now() - began_ > negotiation_limit;
}

void NbdConnection::close() {
    if (state_ == State::closing || state_ == State::closed) return;
    state_ = State::closing;
    end_of_input_ = true;
    payload_.reset();
    set_events();
}

void NbdConnection::on_event(std::uint32_t events) {
    readable_ = readable_ || (events & EPOLLIN) != 0;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        drop_answers();
        close();
    }
    run_once();
}

// Nobody reads them any more.
void NbdConnection::drop_answers() {
    for (Outgoing& out : outgoing_) {
        if (out.request != nullptr) bytes_held_ -= out.request->held;
    }
    outgoing_.clear();
    sent_of_front_ = 0;
}

bool NbdConnection::run_once() {
    bool progress = false;
    while (may_read() && (parse() || (readable_ && receive()))) progress = true;
    progress = send_answers() || progress;
    if (state_ == State::closing && in_flight_ == 0 && outgoing_.empty()) {
        server_.reactor_.forget(socket_.get());
        socket_.reset();
        if (export_ != nullptr) --export_->clients;
        state_ = State::closed;
        return true;
    }
    set_events();
    return progress;
}

// (2) A client that sends faster than it is served, or does not take its answers, waits.
bool NbdConnection::may_read() const {
    return !end_of_input_ && (state_ == State::negotiating || state_ == State::transmitting) &&
           in_flight_ + outgoing_.size() < requests_max && bytes_held_ < held_bytes_max;
}

void NbdConnection::set_events() {
    if (state_ == State::closed) return;
    const std::uint32_t wanted = (may_read() ? std::uint32_t{EPOLLIN} : 0) |
                                 (outgoing_.empty() ? 0 : std::uint32_t{EPOLLOUT});
    if (wanted != events_) server_.reactor_.change(socket_.get(), events_ = wanted);
}

// Reads what there is: into the payload of a write that is under way, else into the input buffer.
bool NbdConnection::receive() {
    std::byte* into = nullptr;
    std::size_t room = 0;
    if (payload_ != nullptr) {
        into = payload_->buffer + payload_have_;
        room = payload_->io.length.n - payload_have_;
    } else {
        if (input_begin_ > 0) {
            std::memmove(input_.data(), input(), available());
            input_end_ = available();
            input_begin_ = 0;
        }
        into = input_.data() + input_end_;
        room = input_.size() - input_end_;
    }
    ASSERT(room > 0);
    const ssize_t n = ::recv(socket_.get(), into, room, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) return true;
    readable_ = n == static_cast<ssize_t>(room);  // a short read took all there was
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
        if (n < 0) drop_answers();
        close();
        return false;
    }
    if (payload_ != nullptr) payload_have_ += static_cast<std::size_t>(n);
    else input_end_ += static_cast<std::size_t>(n);
    return true;
}

// One message. False: more input is needed first.
bool NbdConnection::parse() {
    if (skip_ > 0) {
        const std::size_t n = std::min<std::uint64_t>(skip_, available());
        consume(n);
        skip_ -= n;
        if (skip_ > 0 || n == 0) return n > 0;
        if (state_ == State::negotiating) reply(skipped_option_, skipped_answer_);
        return true;
    }
    return state_ == State::negotiating ? parse_negotiation() : parse_transmission();
}

// --- negotiation ---------------------------------------------------------------------------------

void NbdConnection::greet() {
    std::vector<std::byte> greeting(18);
    std::byte* p = store_be(greeting.data(), nbd::magic_greeting);
    p = store_be(p, nbd::magic_option);
    store_be<std::uint16_t>(p, nbd::flag_fixed_newstyle | nbd::flag_no_zeroes);
    outgoing_.push_back({std::move(greeting), nullptr});
}

bool NbdConnection::client_flags() {
    if (available() < 4) return false;
    const auto flags = load_be<std::uint32_t>(input());
    consume(4);
    greeted_ = true;
    no_zeroes_ = (flags & nbd::flag_no_zeroes) != 0;
    fixed_newstyle_ = (flags & nbd::flag_fixed_newstyle) != 0;
    if ((flags & ~std::uint32_t{nbd::flag_fixed_newstyle | nbd::flag_no_zeroes}) != 0) close();
    return true;
}

bool NbdConnection::parse_negotiation() {
    if (!greeted_) return client_flags();
    if (available() < nbd::option_bytes) return false;
    const auto magic = load_be<std::uint64_t>(input());
    const auto number = load_be<std::uint32_t>(input() + 8);
    const auto length = load_be<std::uint32_t>(input() + 12);
    if (magic != nbd::magic_option || length > skipped_option_max) return close(), true;
    const bool old = number == static_cast<std::uint32_t>(nbd::Option::export_name);
    // The old form knows no other option, and no errors.
    if ((!fixed_newstyle_ && !old) || (old && length > option_data_max)) return close(), true;
    const bool known = nbd::is_known(static_cast<nbd::Option>(number));
    if (!known || length > option_data_max) {
        if (++options_ > options_max) return close(), true;
        consume(nbd::option_bytes);
        skip_ = length;
        skipped_option_ = number;
        skipped_answer_ = known ? nbd::Reply::too_big : nbd::Reply::unsupported;
        if (length == 0) reply(number, skipped_answer_);
        return true;
    }
    if (available() < nbd::option_bytes + length) return false;
    if (++options_ > options_max) return close(), true;
    const std::vector<std::byte> data(input() + nbd::option_bytes,
                                      input() + nbd::option_bytes + length);
    consume(nbd::option_bytes + length);
    option(number, data);
    return true;
}

void NbdConnection::option(std::uint32_t number, std::span<const std::byte> data) {
    using nbd::Option;
    switch (static_cast<Option>(number)) {
        case Option::export_name: return option_export_name(data);
        case Option::abort: reply(number, nbd::Reply::ack); return close();
        case Option::list: return option_list(data);
        case Option::info:
        case Option::go: return option_info(number, data);
    }
}

void NbdConnection::reply(std::uint32_t option, nbd::Reply type, std::span<const std::byte> data) {
    std::vector<std::byte> bytes(20 + data.size());
    std::byte* p = store_be(bytes.data(), nbd::magic_option_reply);
    p = store_be(p, option);
    p = store_be(p, static_cast<std::uint32_t>(type));
    p = store_be(p, static_cast<std::uint32_t>(data.size()));
    std::copy(data.begin(), data.end(), p);
    outgoing_.push_back({std::move(bytes), nullptr});
}

void NbdConnection::option_list(std::span<const std::byte> data) {
    const auto number = static_cast<std::uint32_t>(nbd::Option::list);
    if (!data.empty()) return reply(number, nbd::Reply::invalid);
    for (const auto& [id, exported] : server_.exports_) {
        std::vector<std::byte> entry(4 + exported->name.size());
        std::byte* p = store_be(entry.data(), static_cast<std::uint32_t>(exported->name.size()));
        std::memcpy(p, exported->name.data(), exported->name.size());
        reply(number, nbd::Reply::server, entry);
    }
    reply(number, nbd::Reply::ack);
}

std::uint16_t NbdConnection::transmission_flags(const NbdExport& exported) const {
    std::uint16_t flags = nbd::has_flags | nbd::send_flush | nbd::send_fua | nbd::send_trim |
                          nbd::send_write_zeroes | nbd::can_multi_conn;
    if (exported.volume->read_only) flags |= nbd::read_only;
    return flags;
}

void NbdConnection::option_info(std::uint32_t number, std::span<const std::byte> data) {
    if (data.size() < 6) return reply(number, nbd::Reply::invalid);
    const auto name_length = load_be<std::uint32_t>(data.data());
    if (name_length > data.size() - 6) return reply(number, nbd::Reply::invalid);
    const std::string_view name = text_of(data.subspan(4, name_length));
    const auto infos = load_be<std::uint16_t>(data.data() + 4 + name_length);
    if (data.size() != 6 + name_length + 2UL * infos) return reply(number, nbd::Reply::invalid);
    NbdExport* exported = server_.find(name);
    if (exported == nullptr) {
        const std::string text = fmt::format("no export \"{}\"", name.substr(0, 256));
        return reply(number, nbd::Reply::unknown, std::as_bytes(std::span(text)));
    }
    std::array<std::byte, 12> basic{};
    std::byte* p = store_be(basic.data(), static_cast<std::uint16_t>(nbd::Info::export_));
    p = store_be(p, exported->volume->size.n);
    store_be(p, transmission_flags(*exported));
    reply(number, nbd::Reply::info, basic);

    std::array<std::byte, 14> sizes{};
    const auto chunk = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(to_bytes(server_.pool_.data_block_size()).n, payload_max));
    p = store_be(sizes.data(), static_cast<std::uint16_t>(nbd::Info::block_size));
    p = store_be(p, std::uint32_t{1});
    p = store_be(p, std::has_single_bit(chunk) ? chunk : std::uint32_t{65536});
    store_be(p, payload_max);
    reply(number, nbd::Reply::info, sizes);

    const auto asked = [&](nbd::Info wanted) {
        for (std::uint16_t i = 0; i < infos; ++i) {
            if (load_be<std::uint16_t>(data.data() + 6 + name_length + 2UL * i) ==
                static_cast<std::uint16_t>(wanted))
                return true;
        }
        return false;
    };
    if (asked(nbd::Info::name)) {
        std::vector<std::byte> canonical(2 + exported->name.size());
        p = store_be(canonical.data(), static_cast<std::uint16_t>(nbd::Info::name));
        std::memcpy(p, exported->name.data(), exported->name.size());
        reply(number, nbd::Reply::info, canonical);
    }
    reply(number, nbd::Reply::ack);
    if (static_cast<nbd::Option>(number) == nbd::Option::go) start_transmission(*exported);
}

// The old form knows no error: an unknown name ends the connection.
void NbdConnection::option_export_name(std::span<const std::byte> data) {
    NbdExport* exported = server_.find(text_of(data));
    if (exported == nullptr) return close();
    std::vector<std::byte> answer(no_zeroes_ ? 10 : 134);
    std::byte* p = store_be(answer.data(), exported->volume->size.n);
    store_be(p, transmission_flags(*exported));
    outgoing_.push_back({std::move(answer), nullptr});
    start_transmission(*exported);
}

void NbdConnection::start_transmission(NbdExport& exported) {
    export_ = &exported;
    ++exported.clients;
    state_ = State::transmitting;
}

// --- transmission --------------------------------------------------------------------------------

bool NbdConnection::parse_transmission() {
    if (payload_ != nullptr) {
        const std::size_t n = std::min(payload_->io.length.n - payload_have_, available());
        std::memcpy(payload_->buffer + payload_have_, input(), n);
        consume(n);
        payload_have_ += n;
        if (payload_have_ < payload_->io.length.n) return false;
        submit(std::exchange(payload_, nullptr));
        return true;
    }
    return command();
}

// What is wrong with a request, as the protocol's error; 0: nothing.
std::uint32_t NbdConnection::check(nbd::Command command, std::uint16_t flags, std::uint64_t offset,
                                   std::uint32_t length) const {
    using nbd::Command;
    const std::uint64_t size = export_->volume->size.n;
    const bool inside = offset <= size && length <= size - offset;
    const bool changes =
        command == Command::write || command == Command::trim || command == Command::write_zeroes;
    const std::uint16_t allowed = command == Command::write_zeroes
                                      ? nbd::command_fua | nbd::command_no_hole
                                      : nbd::command_fua;
    if ((flags & ~allowed) != 0) return nbd::error_invalid;
    if (changes && export_->volume->read_only) return nbd::error_perm;
    switch (command) {
        case Command::read: return inside && length <= payload_max ? 0 : nbd::error_invalid;
        case Command::write:
            return length > payload_max ? nbd::error_invalid : inside ? 0 : nbd::error_no_space;
        case Command::write_zeroes: return inside ? 0 : nbd::error_no_space;
        case Command::trim: return inside ? 0 : nbd::error_invalid;
        case Command::flush: return offset == 0 && length == 0 ? 0 : nbd::error_invalid;
        default: return nbd::error_invalid;
    }
}

bool NbdConnection::command() {
    using nbd::Command;
    if (available() < nbd::request_bytes) return false;
    const std::byte* p = input();
    if (load_be<std::uint32_t>(p) != nbd::magic_request) return close(), true;
    const auto flags = load_be<std::uint16_t>(p + 4);
    const auto command = static_cast<Command>(load_be<std::uint16_t>(p + 6));
    const auto cookie = load_be<std::uint64_t>(p + 8);
    const auto offset = load_be<std::uint64_t>(p + 16);
    const auto length = load_be<std::uint32_t>(p + 24);
    consume(nbd::request_bytes);
    if (command == Command::disconnect) return close(), true;

    auto request = new_request();
    request->cookie = cookie;
    if (const std::uint32_t error = check(command, flags, offset, length); error != 0) {
        if (command == Command::write) {
            if (length > skipped_payload_max) return close(), true;
            skip_ = length;
        }
        answer(std::move(request), error);
        return true;
    }
    IoRequest& io = request->io;
    io.fua = (flags & nbd::command_fua) != 0;
    io.keep_allocated = (flags & nbd::command_no_hole) != 0;
    io.offset = ByteOffset(offset);
    io.length = Bytes(length);
    io.buffer = nullptr;
    request->reply_payload = 0;
    switch (command) {
        case Command::read: io.kind = IoKind::read; break;
        case Command::write: io.kind = IoKind::write; break;
        case Command::trim: io.kind = IoKind::discard; break;
        case Command::write_zeroes: io.kind = IoKind::write_zeroes; break;
        default: io.kind = IoKind::flush; break;
    }
    if (io.kind == IoKind::read || io.kind == IoKind::write) {
        request->reserve(length);
        io.buffer = request->buffer;
        request->held = length;
        bytes_held_ += length;
    }
    if (io.kind == IoKind::read) request->reply_payload = length;
    if (io.kind == IoKind::write && length > 0) {
        payload_ = std::move(request);
        payload_have_ = 0;
    } else {
        submit(std::move(request));
    }
    return true;
}

std::unique_ptr<NbdConnection::Request> NbdConnection::new_request() {
    if (idle_requests_.empty()) {
        auto request = std::make_unique<Request>();
        request->connection = this;
        return request;
    }
    auto request = std::move(idle_requests_.back());
    idle_requests_.pop_back();
    return request;
}

void NbdConnection::submit(std::unique_ptr<Request> request) {
    ++in_flight_;
    IoRequest& io = request->io;
    io.volume = export_->volume;
    io.owner = request.release();
    io.done = [](IoRequest& r) {
        std::unique_ptr<Request> answered(static_cast<Request*>(r.owner));
        NbdConnection& self = *answered->connection;
        --self.in_flight_;
        self.answer(std::move(answered), r.outcome ? 0 : error_number(r.outcome.error().code));
    };
    server_.pool_.submit(io);
}

void NbdConnection::answer(std::unique_ptr<Request> request, std::uint32_t error) {
    if (error != 0) request->reply_payload = 0;
    std::byte* p = store_be(request->head.data(), nbd::magic_simple_reply);
    p = store_be(p, error);
    store_be(p, request->cookie);
    outgoing_.push_back({{}, std::move(request)});
}

// --- sending -------------------------------------------------------------------------------------

// What is to be sent next, as far as it fits; the number of bytes.
std::size_t NbdConnection::gather(std::span<iovec> parts, std::size_t& used) const {
    std::size_t skip = sent_of_front_;
    std::size_t total = 0;
    used = 0;
    const auto add = [&](const std::byte* bytes, std::size_t n) {
        const std::size_t skipped = std::min(skip, n);
        skip -= skipped;
        if (n > skipped) parts[used++] = {const_cast<std::byte*>(bytes) + skipped, n - skipped};
        total += n - skipped;
    };
    for (const Outgoing& out : outgoing_) {
        if (used + 2 > parts.size()) break;
        if (out.request == nullptr) {
            add(out.head.data(), out.head.size());
            continue;
        }
        add(out.request->head.data(), out.request->head.size());
        add(out.request->buffer, out.request->reply_payload);
    }
    return total;
}

void NbdConnection::sent(std::size_t n) {
    n += sent_of_front_;
    while (!outgoing_.empty()) {
        Outgoing& out = outgoing_.front();
        const std::size_t length = out.request == nullptr
                                       ? out.head.size()
                                       : out.request->head.size() + out.request->reply_payload;
        if (n < length) break;
        n -= length;
        if (out.request != nullptr) {
            bytes_held_ -= std::exchange(out.request->held, 0);
            if (out.request->capacity > kept_buffer_max) out.request->release();
            if (idle_requests_.size() < 64) idle_requests_.push_back(std::move(out.request));
        }
        outgoing_.pop_front();
    }
    sent_of_front_ = n;
}

bool NbdConnection::send_answers() {
    bool progress = false;
    while (!outgoing_.empty()) {
        std::array<iovec, 256> parts;
        msghdr message{};
        const std::size_t total = gather(parts, message.msg_iovlen);
        message.msg_iov = parts.data();
        const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) {
            drop_answers();
            close();
            return true;
        }
        progress = true;
        sent(static_cast<std::size_t>(n));
        if (static_cast<std::size_t>(n) < total) break;
    }
    return progress;
}

}  // namespace thinvol
