// Goal: S39: whatever a client sends after the handshake, in whatever order, length and piece, each
//       of its requests is answered once and in form, or its connection ends; the pool stays sound.
// Method: a connection to the server of a pool in memory, driven by the reactor. An input is a
//       row of requests, with payload, without, or with too little; then the client leaves.
#include <sys/socket.h>
#include <sys/un.h>

#include <map>

#include "engine/check.h"
#include "tests/fuzz/nbd_world.h"

namespace thinvol {
namespace {

using nbd::load_be;

constexpr std::size_t requests_max = 24;
constexpr std::size_t payload_most = 3 * 65536;

struct Script {
    std::vector<std::byte> bytes;
    std::vector<std::size_t> pieces;  // ends of what is sent at once
    struct Asked {
        std::uint16_t command;
        std::uint64_t length;
    };
    std::map<std::uint64_t, Asked> asked;  // by cookie
    bool extended = false;
    NbdReplies replies = NbdReplies::simple;
    bool well_formed = true;  // until then every request is to be answered

    template <class T>
    void put(T number) {
        const std::size_t at = bytes.size();
        bytes.resize(at + sizeof number);
        nbd::store_be(bytes.data() + at, number);
    }
    void option(nbd::Option option, std::span<const std::byte> data = {}) {
        put(nbd::magic_option);
        put(static_cast<std::uint32_t>(option));
        put(static_cast<std::uint32_t>(data.size()));
        bytes.insert(bytes.end(), data.begin(), data.end());
    }
};

void handshake(Script& script, std::uint8_t choice) {
    script.put(std::uint32_t{3});
    script.extended = choice % 3 == 2;
    script.replies = static_cast<NbdReplies>(choice % 3);
    if (choice % 3 == 1) script.option(nbd::Option::structured_reply);
    if (choice % 3 == 2) script.option(nbd::Option::extended_headers);
    const char name = choice >= 192 ? 'b' : 'a';
    const auto with_name = [&](std::span<const std::string_view> queries) {
        Script data;
        data.put(std::uint32_t{1});
        data.bytes.push_back(static_cast<std::byte>(name));
        if (queries.empty()) data.put(std::uint16_t{0});
        else data.put(static_cast<std::uint32_t>(queries.size()));
        for (const std::string_view query : queries) {
            data.put(static_cast<std::uint32_t>(query.size()));
            for (const char c : query) data.bytes.push_back(static_cast<std::byte>(c));
        }
        return data.bytes;
    };
    if (choice % 3 != 0 && choice % 2 == 0) {
        constexpr std::string_view both[] = {"base:allocation", "x-thinvol:sharing"};
        script.option(nbd::Option::set_meta_context, with_name(both));
    }
    script.option(nbd::Option::go, with_name({}));
    script.pieces.push_back(script.bytes.size());
}

// Offsets and lengths, near where something changes as often as anywhere.
std::uint64_t place(FuzzInput& input) {
    const std::uint8_t how = input.byte();
    if (how == 255) return input.number<std::uint64_t>();
    const std::uint64_t edges[] = {0,    512,        65536, 131072, NbdWorld::volume_bytes.n,
                                   4096, 1ULL << 32, ~0ULL};
    const std::uint64_t edge = edges[how % 8];
    return how < 64 ? edge : how < 128 ? edge + input.byte() : edge - input.byte();
}

void request(Script& script, FuzzInput& input) {
    const std::uint8_t kind = input.byte();
    const auto command = static_cast<std::uint16_t>(kind % 9);
    const auto flags = kind < 128 ? std::uint16_t{0} : input.number<std::uint16_t>();
    const std::uint64_t offset = place(input);
    const std::uint64_t length =
        script.extended ? place(input) : static_cast<std::uint32_t>(place(input));
    const std::uint64_t cookie = 1 + script.asked.size();
    script.put(script.extended ? nbd::magic_extended_request : nbd::magic_request);
    const bool own_payload =
        script.extended ? (flags & nbd::command_payload_len) != 0 : command == 1;
    const bool plain_write = script.extended && command == 1 && kind < 128;
    script.put(static_cast<std::uint16_t>(flags | (plain_write ? nbd::command_payload_len : 0)));
    script.put(command);
    script.put(cookie);
    script.put(offset);
    if (script.extended) script.put(length);
    else script.put(static_cast<std::uint32_t>(length));
    script.asked[cookie] = {command, length};
    if (command == 2) script.well_formed = false;
    if (!own_payload && !plain_write) return;
    const std::uint8_t cut = input.byte();
    const bool whole = cut < 224 && length <= payload_most;
    std::uint64_t n = whole ? length : std::min<std::uint64_t>(length, std::uint64_t{cut} * 300);
    if (!whole) script.well_formed = false;
    if (command == 7) {  // a filter: its effect length and ids are the input's
        for (const std::byte b : input.bytes(std::min<std::uint64_t>(n, 16))) {
            script.bytes.push_back(b);
            --n;
        }
    }
    script.bytes.insert(script.bytes.end(), n, static_cast<std::byte>(cut));
}

Script script_of(FuzzInput& input) {
    Script script;
    handshake(script, input.byte());
    for (std::size_t i = 0; i < requests_max && script.well_formed && !input.empty(); ++i) {
        request(script, input);
        const std::uint8_t next = input.byte();
        if (next == 254) {
            script.well_formed = false;
            const auto raw = input.bytes(40);
            script.bytes.insert(script.bytes.end(), raw.begin(), raw.end());
        }
        if (next % 2 == 0) script.pieces.push_back(script.bytes.size());
    }
    script.pieces.push_back(script.bytes.size());
    return script;
}

// Takes the answers apart, as far as they have come.
class Answers {
public:
    explicit Answers(const Script& script) : script_(script) {}
    std::map<std::uint64_t, int> ended;

    void take(std::span<const std::byte> bytes, bool at_end) {
        received_.insert(received_.end(), bytes.begin(), bytes.end());
        if (!at_end) return;
        std::span<const std::byte> rest(received_);
        rest = past_negotiation(rest);
        while (rest.size() >= nbd::simple_reply_bytes) {
            const std::size_t n = load_be<std::uint32_t>(rest.data()) == nbd::magic_simple_reply
                                      ? simple(rest)
                                      : chunk(rest);
            if (n == 0 || n > rest.size()) break;  // the connection ended first
            rest = rest.subspan(n);
        }
    }

private:
    std::size_t simple(std::span<const std::byte> rest) {
        const bool failed = load_be<std::uint32_t>(rest.data() + 4) != 0;
        const Script::Asked& asked = end(load_be<std::uint64_t>(rest.data() + 8));
        demand(script_.replies == NbdReplies::simple ||
                   (script_.replies == NbdReplies::structured && asked.command != 0),
               "an answer of a form that was not agreed on");
        const bool carries = asked.command == 0 && !failed;
        return nbd::simple_reply_bytes + (carries ? asked.length : 0);
    }
    std::size_t chunk(std::span<const std::byte> rest) {
        const bool extended = script_.replies == NbdReplies::extended;
        const std::size_t head = extended ? nbd::extended_chunk_bytes : nbd::chunk_bytes;
        demand(script_.replies != NbdReplies::simple &&
                   load_be<std::uint32_t>(rest.data()) ==
                       (extended ? nbd::magic_extended_reply : nbd::magic_structured_reply),
               "an answer's magic");
        if (rest.size() < head) return 0;
        const std::uint64_t length = extended ? load_be<std::uint64_t>(rest.data() + 24)
                                              : load_be<std::uint32_t>(rest.data() + 16);
        if ((load_be<std::uint16_t>(rest.data() + 4) & nbd::chunk_done) != 0)
            end(load_be<std::uint64_t>(rest.data() + 8));
        return head + length;
    }
    const Script::Asked& end(std::uint64_t cookie) {
        const auto asked = script_.asked.find(cookie);
        demand(asked != script_.asked.end(), "an answer to nothing");
        demand(++ended[cookie] == 1, "a request that is answered twice");
        return asked->second;
    }
    // The greeting, and the replies to options.
    static std::span<const std::byte> past_negotiation(std::span<const std::byte> rest) {
        demand(rest.size() >= 18, "the greeting");
        rest = rest.subspan(18);
        while (rest.size() >= 20 && load_be<std::uint64_t>(rest.data()) == nbd::magic_option_reply)
            rest = rest.subspan(20 + load_be<std::uint32_t>(rest.data() + 16));
        return rest;
    }
    const Script& script_;
    std::vector<std::byte> received_;
};

class Client {
public:
    Client(const Script& script, int socket) : script_(script), answers_(script), fd_(socket) {}
    bool was_left() const { return was_left_; }

    // True if anything happened.
    bool step() {
        bool progress = false;
        std::array<std::byte, 65536> buffer;
        ssize_t n = 0;
        while ((n = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0) {
            answers_.take(std::span(buffer).first(static_cast<std::size_t>(n)), false);
            progress = true;
        }
        was_left_ = n == 0 || (n < 0 && errno != EAGAIN);
        if (piece_ == script_.pieces.size()) {
            if (!left_) ::shutdown(fd_, SHUT_WR);
            return !std::exchange(left_, true) || progress;
        }
        const std::size_t end = script_.pieces[piece_];
        n = ::send(fd_, script_.bytes.data() + sent_, end - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) sent_ = end;  // the server has had enough
        if (n > 0) sent_ += static_cast<std::size_t>(n);
        if (sent_ == end) ++piece_;
        return progress || n != -1 || errno != EAGAIN;
    }
    void judge() {
        answers_.take({}, true);
        demand(!script_.well_formed || answers_.ended.size() == script_.asked.size(),
               "a request without an answer");
    }

private:
    const Script& script_;
    Answers answers_;
    int fd_;
    std::size_t piece_ = 0;
    std::size_t sent_ = 0;
    bool left_ = false;
    bool was_left_ = false;  // by the server
};

// A socket that listens, without a name in any file system, and one connected to it.
std::pair<UniqueFd, UniqueFd> connected_sockets() {
    constexpr int kind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    UniqueFd listener(::socket(AF_UNIX, kind, 0));
    UniqueFd client(::socket(AF_UNIX, kind, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address.sun_family;
    demand(::bind(listener.get(), any, length) == 0 && ::listen(listener.get(), 1) == 0,
           "no socket");
    length = sizeof address;
    demand(::getsockname(listener.get(), any, &length) == 0 &&
               ::connect(client.get(), any, length) == 0,
           "no connection");
    return {std::move(listener), std::move(client)};
}

void run(NbdWorld& world, const Script& script) {
    auto [listener, socket] = connected_sockets();
    world.server->listen(std::move(listener), false);
    Client client(script, socket.get());
    world.reactor.set_work([&] {
        bool progress = world.pool->run_once();
        progress = world.server->run_once() || progress;
        progress = client.step() || progress;
        if (client.was_left() && !world.server->has_connections() && !progress)
            world.reactor.stop();
        return progress;
    });
    world.reactor.run();
    client.judge();
    must(world.pool->settle());
    const CheckReport report = must(check_metadata(world.md));
    demand(report.clean(), report.findings.empty() ? "" : report.findings.front().text.c_str());
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    const Script script = script_of(input);
    NbdWorld world;
    run(world, script);
    return 0;
}
