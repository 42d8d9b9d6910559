// Goal: whoever is at the other end of a control connection, it ends in an answer or in an error
// that tells what it was.
// Method: socket pairs and sockets in a temporary directory, with the other end played byte by
// byte.
#include "libvm/control_protocol.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "engine/base/le.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Pair {
    UniqueFd ours, theirs;
    Pair() {
        int fds[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        ours = UniqueFd(fds[0]);
        theirs = UniqueFd(fds[1]);
    }
    void they_send(std::string_view bytes) const {
        must(send_bytes(theirs.get(), std::as_bytes(std::span(bytes))));
    }
    void they_leave() { theirs = UniqueFd(); }
};

std::string length_of(std::uint32_t n) {
    std::string bytes(4, '\0');
    store_le(reinterpret_cast<std::byte*>(bytes.data()), n);
    return bytes;
}

// A server with a single connection, which does with it what the test says.
template <class Serve>
std::thread serve_one(const UniqueFd& listener, Serve&& serve) {
    return std::thread([fd = listener.get(), serve] {
        pollfd listening{fd, POLLIN, 0};
        ::poll(&listening, 1, -1);
        const UniqueFd connection(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
        serve(connection.get());
    });
}

struct Place {
    TemporaryDirectory dir;
    std::filesystem::path path = dir.path() / "pool.ctl";
};

}  // namespace

// --- frames --------------------------------------------------------------------------------------

TEST_CASE("frames arrive whole, in order, and end with the connection") {
    Pair p;
    const std::string nul("a\0b", 3);
    for (const std::string& text :
         {std::string("one"), std::string(), nul, std::string(70000, 'x')})
        must(send_frame(p.theirs.get(), text));
    p.they_leave();
    CHECK(must(receive_frame(p.ours.get())) == "one");
    CHECK(must(receive_frame(p.ours.get())) == "");
    CHECK(must(receive_frame(p.ours.get())) == nul);
    CHECK(must(receive_frame(p.ours.get())) == std::string(70000, 'x'));
    CHECK_FALSE(must(receive_frame(p.ours.get())).has_value());
}

TEST_CASE("a frame's length is 32 bits little-endian before its text") {
    Pair p;
    must(send_frame(p.ours.get(), std::string(300, 'x')));
    std::array<std::byte, 304> bytes{};
    must(receive_bytes(p.theirs.get(), bytes));
    CHECK(load_le<std::uint32_t>(bytes.data()) == 300);
    CHECK(bytes[4] == std::byte('x'));
}

TEST_CASE("a frame that comes in pieces is put together") {
    Pair p;
    std::thread sender([&] {
        for (const char c : length_of(5) + "hello") p.they_send({&c, 1});
    });
    CHECK(must(receive_frame(p.ours.get())) == "hello");
    sender.join();
}

TEST_CASE("the longest frame passes, a longer one is refused before it is read") {
    {
        Pair p;
        const std::string longest(longest_frame, 'x');
        std::thread sender([&] { must(send_frame(p.theirs.get(), longest)); });
        CHECK(must(receive_frame(p.ours.get())) == longest);
        sender.join();
    }
    for (const std::uint32_t n :
         {static_cast<std::uint32_t>(longest_frame) + 1, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        CAPTURE(n);
        Pair p;
        p.they_send(length_of(n));
        const auto frame = receive_frame(p.ours.get());  // does not wait for the text
        REQUIRE_FALSE(frame.has_value());
        CHECK(frame.error().code == Errc::invalid_argument);
        CHECK_THAT(frame.error().text, ContainsSubstring(std::to_string(n)));
    }
}

TEST_CASE("a connection that ends within a frame is an error, wherever") {
    const std::string frame = length_of(5) + "hello";
    for (std::size_t n = 1; n < frame.size(); ++n) {
        CAPTURE(n);
        Pair p;
        p.they_send(frame.substr(0, n));
        p.they_leave();
        const auto received = receive_frame(p.ours.get());
        REQUIRE_FALSE(received.has_value());
        CHECK(received.error().code == Errc::io_error);
    }
}

TEST_CASE("sending to who is gone is an error, no signal") {
    Pair p;
    p.they_leave();
    CHECK(send_frame(p.ours.get(), "x").error().code == Errc::io_error);
}

TEST_CASE("bytes that follow an answer are received whole, or it is an error") {
    Pair p;
    p.they_send("abcdef");
    std::array<std::byte, 4> bytes{};
    must(receive_bytes(p.ours.get(), bytes));
    CHECK(bytes[3] == std::byte('d'));
    p.they_leave();
    CHECK(receive_bytes(p.ours.get(), bytes).error().code == Errc::io_error);
}

// --- hello ---------------------------------------------------------------------------------------

TEST_CASE("a server's hello is accepted, and begins with its magic") {
    Pair p;
    must(send_hello(p.theirs.get()));
    must(receive_hello(p.ours.get()));
    must(send_hello(p.theirs.get()));
    std::array<std::byte, 8> hello{};
    must(receive_bytes(p.ours.get(), hello));
    CHECK(std::string_view(reinterpret_cast<const char*>(hello.data()), 5) == "TVCTL");
}

TEST_CASE("who is no server of a pool, or one of another version, is told apart") {
    Pair p;
    p.they_send("HTTP/1.1");
    const auto foreign = receive_hello(p.ours.get());
    REQUIRE_FALSE(foreign.has_value());
    CHECK(foreign.error().code == Errc::unsupported);
    CHECK_THAT(foreign.error().text, ContainsSubstring("not a pool's server"));

    p.they_send(std::string("TVCTL\0\0\x09", 8));
    const auto newer = receive_hello(p.ours.get());
    REQUIRE_FALSE(newer.has_value());
    CHECK(newer.error().code == Errc::unsupported);
    CHECK_THAT(newer.error().text, ContainsSubstring("version 9"));

    p.they_send("TVCT");
    p.they_leave();
    CHECK(receive_hello(p.ours.get()).error().code == Errc::io_error);
}

// --- connecting ----------------------------------------------------------------------------------

TEST_CASE("a socket is made for this user only, in place of what a dead server left") {
    Place place;
    { const UniqueFd dead = must(listen_on(place.path)); }
    CHECK(ControlClient::connect(place.path, std::chrono::seconds(5)).error().code ==
          Errc::not_found);
    const UniqueFd listener = must(listen_on(place.path));
    struct stat st{};
    REQUIRE(::stat(place.path.c_str(), &st) == 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK((st.st_mode & 0177) == 0);
    std::thread server = serve_one(listener, [](int fd) { must(send_hello(fd)); });
    CHECK(ControlClient::connect(place.path, std::chrono::seconds(5)).has_value());
    server.join();
}

TEST_CASE("a socket that cannot be made is an error with its path") {
    const auto outcome = listen_on("/nonexistent-directory/pool.ctl");
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::io_error);
    CHECK_THAT(outcome.error().text, ContainsSubstring("/nonexistent-directory/pool.ctl"));
}

TEST_CASE("a path longer than a socket may have is refused with the way out") {
    const std::filesystem::path path = "/tmp/" + std::string(200, 'x');
    for (const Error& error :
         {listen_on(path).error(), ControlClient::connect(path, std::chrono::seconds(5)).error()}) {
        CHECK(error.code == Errc::invalid_argument);
        CHECK_THAT(error.text, ContainsSubstring("THINVOL_RUN_DIR"));
    }
}

TEST_CASE("nobody there, or somebody on the way out, is not found") {
    Place place;
    CHECK(ControlClient::connect(place.path, std::chrono::seconds(5)).error().code ==
          Errc::not_found);
    const UniqueFd listener = must(listen_on(place.path));
    std::thread server = serve_one(listener, [](int) {});  // closes without a hello
    CHECK(ControlClient::connect(place.path, std::chrono::seconds(5)).error().code ==
          Errc::not_found);
    server.join();
}

TEST_CASE("a server that is none is not taken for one that is gone") {
    Place place;
    const UniqueFd listener = must(listen_on(place.path));
    std::thread server = serve_one(listener, [](int fd) {
        const std::string_view greeting = "220 mail";
        must(send_bytes(fd, std::as_bytes(std::span(greeting))));
    });
    CHECK(ControlClient::connect(place.path, std::chrono::seconds(5)).error().code ==
          Errc::unsupported);
    server.join();
}

TEST_CASE("a request is asked and its answer comes back, with the bytes behind it") {
    Place place;
    const UniqueFd listener = must(listen_on(place.path));
    PoolRequest asked;
    std::thread server = serve_one(listener, [&asked](int fd) {
        must(send_hello(fd));
        asked = must(request_from_json(must(receive_frame(fd)).value()));
        PoolAnswer answer;
        answer.bytes_following = 4;
        must(send_frame(fd, to_json(Result<PoolAnswer>(answer))));
        const std::string_view bytes = "data";
        must(send_bytes(fd, std::as_bytes(std::span(bytes))));
        must(receive_frame(fd));
        must(send_frame(fd, to_json(Result<PoolAnswer>(Error(Errc::busy, "in use")))));
    });
    ControlClient client = must(ControlClient::connect(place.path, std::chrono::seconds(5)));
    CHECK(must(client.ask({"r1", PinRequest{}})).bytes_following == 4);
    std::array<std::byte, 4> bytes{};
    must(client.receive(bytes));
    CHECK(bytes[0] == std::byte('d'));
    const auto refused = client.ask({"r2", StatusRequest{}});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::busy);
    CHECK(refused.error().text == "in use");
    server.join();
    CHECK(asked.id == "r1");
    CHECK(std::holds_alternative<PinRequest>(asked.what));
}

TEST_CASE("an answer that is lost, damaged or too long is an error, never an answer") {
    const auto asked = [](auto&& reply) {
        Place place;
        const UniqueFd listener = must(listen_on(place.path));
        std::thread server = serve_one(listener, [reply](int fd) {
            must(send_hello(fd));
            must(receive_frame(fd));
            reply(fd);
        });
        ControlClient client = must(ControlClient::connect(place.path, std::chrono::seconds(5)));
        auto outcome = client.ask({"r", StatusRequest{}});
        server.join();
        REQUIRE_FALSE(outcome.has_value());
        return outcome.error();
    };
    CHECK(asked([](int) {}).code == Errc::io_error);
    CHECK(asked([](int fd) {
              const std::string half = length_of(100) + "half";
              must(send_bytes(fd, std::as_bytes(std::span(half))));
          }).code == Errc::io_error);
    CHECK(asked([](int fd) { must(send_frame(fd, "{}")); }).code == Errc::invalid_argument);
    CHECK(asked([](int fd) {
              const std::string huge = length_of(0xffffffff);
              must(send_bytes(fd, std::as_bytes(std::span(huge))));
          }).code == Errc::invalid_argument);
}

TEST_CASE("this user may connect; who cannot be told may not") {
    Pair p;
    CHECK(peer_may_connect(p.ours.get()));
    int pipe_fds[2] = {-1, -1};
    REQUIRE(::pipe(pipe_fds) == 0);
    const UniqueFd in(pipe_fds[0]), out(pipe_fds[1]);
    CHECK_FALSE(peer_may_connect(in.get()));
    CHECK_FALSE(peer_may_connect(-1));
}

}  // namespace thinvol
