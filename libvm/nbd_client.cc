#include "libvm/nbd_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "libvm/control_protocol.h"
#include "libvm/nbd_protocol.h"

namespace thinvol {
namespace {

using nbd::load_be;
using nbd::store_be;

constexpr std::uint32_t option_reply_max = 1 << 16;
constexpr std::uint32_t chunk_extra_max = 1 << 16;
constexpr std::uint32_t status_max = (1U << 31) - (1U << 16);  // a request's length is 32 bits
constexpr std::string_view allocation = "base:allocation";

Error broken(std::string_view what) { return {Errc::io_error, fmt::format("qemu-nbd: {}", what)}; }

Result<> receive(int fd, std::span<std::byte> bytes) {
    return receive_bytes(fd, bytes) ? Result<>() : broken("it ended, or closed the connection");
}
Result<> send(int fd, std::span<const std::byte> bytes) {
    return send_bytes(fd, bytes) ? Result<>() : broken("it ended, or closed the connection");
}

constexpr std::uint32_t number(nbd::Option option) { return static_cast<std::uint32_t>(option); }
constexpr std::uint16_t number(nbd::Command command) { return static_cast<std::uint16_t>(command); }

constexpr std::size_t request_max = 1 << 20;

}  // namespace

std::vector<NbdIo> in_requests(ByteOffset at, std::span<std::byte> bytes) {
    std::vector<NbdIo> requests;
    for (std::size_t done = 0; done < bytes.size(); done += request_max)
        requests.push_back(
            {at + Bytes(done), bytes.subspan(done, std::min(request_max, bytes.size() - done))});
    return requests;
}

Result<NbdClient> NbdClient::negotiate(UniqueFd socket) {
    NbdClient client(std::move(socket));
    const int fd = client.socket_.get();
    std::array<std::byte, 18> greeting;
    TRY(receive(fd, greeting));
    if (load_be<std::uint64_t>(&greeting[0]) != nbd::magic_greeting ||
        load_be<std::uint64_t>(&greeting[8]) != nbd::magic_option)
        return broken("that is no NBD server");
    std::array<std::byte, 4> flags;
    store_be<std::uint32_t>(flags.data(), nbd::flag_fixed_newstyle | nbd::flag_no_zeroes);
    TRY(send(fd, flags));
    TRY(client.ask_option(number(nbd::Option::structured_reply), {}, {}));
    TRY(client.set_context());
    TRY(client.go());
    return client;
}

Result<> NbdClient::ask_option(std::uint32_t option, std::span<const std::byte> data,
                               const OptionReply& on_reply) {
    std::vector<std::byte> head(nbd::option_bytes);
    store_be<std::uint64_t>(&head[0], nbd::magic_option);
    store_be<std::uint32_t>(&head[8], option);
    store_be<std::uint32_t>(&head[12], static_cast<std::uint32_t>(data.size()));
    head.insert(head.end(), data.begin(), data.end());
    TRY(send(socket_.get(), head));
    for (;;) {
        std::array<std::byte, 20> reply;
        TRY(receive(socket_.get(), reply));
        const auto type = load_be<std::uint32_t>(&reply[12]);
        const auto length = load_be<std::uint32_t>(&reply[16]);
        if (load_be<std::uint64_t>(&reply[0]) != nbd::magic_option_reply ||
            load_be<std::uint32_t>(&reply[8]) != option || length > option_reply_max)
            return broken("an option's reply makes no sense");
        std::vector<std::byte> content(length);
        TRY(receive(socket_.get(), content));
        if (type == static_cast<std::uint32_t>(nbd::Reply::ack)) return {};
        if ((type >> 31) != 0) return broken(fmt::format("option {} refused: {:#x}", option, type));
        if (on_reply) TRY(on_reply(type, content));
    }
}

Result<> NbdClient::set_context() {
    std::vector<std::byte> data(12 + allocation.size());
    std::byte* p = store_be<std::uint32_t>(data.data(), 0);  // the default export's name
    p = store_be<std::uint32_t>(p, 1);
    p = store_be<std::uint32_t>(p, allocation.size());
    std::memcpy(p, allocation.data(), allocation.size());
    return ask_option(
        number(nbd::Option::set_meta_context), data,
        [&](std::uint32_t type, std::span<const std::byte> reply) -> Result<> {
            if (type == static_cast<std::uint32_t>(nbd::Reply::meta_context) && reply.size() >= 4)
                context_ = load_be<std::uint32_t>(reply.data());
            return {};
        });
}

Result<> NbdClient::go() {
    const std::array<std::byte, 6> data{};  // the default export, no further wishes
    bool told = false;
    TRY(ask_option(number(nbd::Option::go), data,
                   [&](std::uint32_t type, std::span<const std::byte> reply) -> Result<> {
                       if (type == static_cast<std::uint32_t>(nbd::Reply::info) &&
                           reply.size() >= 12 && load_be<std::uint16_t>(reply.data()) == 0) {
                           size_ = Bytes(load_be<std::uint64_t>(&reply[2]));
                           told = true;
                       }
                       return {};
                   }));
    return told ? Result<>() : broken("the export has no size");
}

Result<> NbdClient::send_request(std::uint16_t command, std::uint64_t cookie, ByteOffset at,
                                 Bytes length) {
    std::array<std::byte, nbd::request_bytes> head;
    std::byte* p = store_be<std::uint32_t>(head.data(), nbd::magic_request);
    p = store_be<std::uint16_t>(p, 0);
    p = store_be<std::uint16_t>(p, command);
    p = store_be<std::uint64_t>(p, cookie);
    p = store_be<std::uint64_t>(p, at.n);
    store_be<std::uint32_t>(p, static_cast<std::uint32_t>(length.n));
    return send(socket_.get(), head);
}

Result<> NbdClient::read(std::span<const NbdIo> pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i)
        TRY(send_request(number(nbd::Command::read), i, pieces[i].at,
                         Bytes(pieces[i].bytes.size())));
    return finish(pieces, true);
}

Result<> NbdClient::write(std::span<const NbdIo> pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        TRY(send_request(number(nbd::Command::write), i, pieces[i].at,
                         Bytes(pieces[i].bytes.size())));
        TRY(send(socket_.get(), pieces[i].bytes));
    }
    return finish(pieces, false);
}

Result<> NbdClient::flush() {
    TRY(send_request(number(nbd::Command::flush), 0, ByteOffset(0), Bytes(0)));
    const std::array<NbdIo, 1> one{};
    return finish(one, false);
}

Result<NbdClient::Extent> NbdClient::extent(ByteOffset at, Bytes most) {
    if (!context_) return Extent{most, false};
    most = std::min(most, Bytes(status_max));
    TRY(send_request(number(nbd::Command::block_status), 0, at, most));
    const std::array<NbdIo, 1> one{};
    status_.clear();
    TRY(finish(one, false));
    if (status_.size() < 12 || load_be<std::uint32_t>(&status_[0]) != *context_)
        return broken("a block status without an answer");
    const Bytes length(load_be<std::uint32_t>(&status_[4]));
    if (length == Bytes(0)) return broken("a block status of nothing");
    return Extent{std::min(length, most),
                  (load_be<std::uint32_t>(&status_[8]) & nbd::state_zero) != 0};
}

void NbdClient::disconnect() {
    ignore(send_request(number(nbd::Command::disconnect), 0, ByteOffset(0), Bytes(0)),
           "the server sees the end of the connection too");
    socket_.reset();
}

Result<> NbdClient::finish(std::span<const NbdIo> pieces, bool reading) {
    std::vector<bool> ended(pieces.size());
    trouble_.clear();
    for (std::size_t left = pieces.size(); left > 0;) {
        std::size_t which = 0;
        if (!TRY(take_chunk(pieces, which, reading))) continue;
        if (ended[which]) return broken("it answers twice");
        ended[which] = true;
        --left;
    }
    if (!trouble_.empty()) return broken(trouble_);
    return {};
}

// Whether it was the last one of its request.
Result<bool> NbdClient::take_chunk(std::span<const NbdIo> pieces, std::size_t& which,
                                   bool reading) {
    std::array<std::byte, nbd::chunk_bytes> head;
    const auto bytes = std::span(head);
    TRY(receive(socket_.get(), bytes.first(nbd::simple_reply_bytes)));
    const auto magic = load_be<std::uint32_t>(head.data());
    const auto cookie = load_be<std::uint64_t>(&head[8]);
    if (cookie >= pieces.size()) return broken("it answers what nobody asked");
    which = cookie;
    if (magic == nbd::magic_simple_reply && !reading) {
        if (const auto error = load_be<std::uint32_t>(&head[4]); error != 0)
            trouble_ = std::strerror(static_cast<int>(error));
        return true;
    }
    if (magic != nbd::magic_structured_reply) return broken("that is no reply");
    TRY(receive(socket_.get(), bytes.subspan(16)));
    const bool last = (load_be<std::uint16_t>(&head[4]) & nbd::chunk_done) != 0;
    TRY(take_content(pieces, which, load_be<std::uint16_t>(&head[6]),
                     load_be<std::uint32_t>(&head[16]), reading));
    return last;
}

Result<> NbdClient::take_content(std::span<const NbdIo> pieces, std::size_t which,
                                 std::uint16_t type, std::uint32_t length, bool reading) {
    const auto chunk = static_cast<nbd::Chunk>(type);
    if (reading && (chunk == nbd::Chunk::offset_data || chunk == nbd::Chunk::offset_hole))
        return take_hole_or_data(pieces[which], type, length);
    if (length > chunk_extra_max) return broken("a chunk is too long");
    std::vector<std::byte> content(length);
    TRY(receive(socket_.get(), content));
    if (chunk == nbd::Chunk::block_status) status_ = std::move(content);
    else if ((type >> 15) != 0 && length >= 4)
        trouble_ = std::strerror(static_cast<int>(load_be<std::uint32_t>(content.data())));
    else if (chunk != nbd::Chunk::none) return broken("a chunk of a kind nobody asked for");
    return {};
}

Result<> NbdClient::take_hole_or_data(const NbdIo& piece, std::uint16_t type,
                                      std::uint32_t length) {
    const bool hole = static_cast<nbd::Chunk>(type) == nbd::Chunk::offset_hole;
    std::array<std::byte, 12> head;
    const std::size_t head_bytes = hole ? 12 : 8;
    if (length < head_bytes || (hole && length != head_bytes))
        return broken("a chunk is too short");
    TRY(receive(socket_.get(), std::span(head).first(head_bytes)));
    const std::uint64_t at = load_be<std::uint64_t>(head.data());
    const std::uint64_t n = hole ? load_be<std::uint32_t>(&head[8]) : length - head_bytes;
    if (at < piece.at.n || at - piece.at.n > piece.bytes.size() ||
        n > piece.bytes.size() - (at - piece.at.n))
        return broken("data nobody asked for");
    std::byte* into = piece.bytes.data() + (at - piece.at.n);
    if (!hole) return receive(socket_.get(), {into, n});
    std::memset(into, 0, n);
    return {};
}

}  // namespace thinvol
