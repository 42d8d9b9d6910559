// A batching NBD client for measurements: as many requests in flight as asked for, sent together,
// answers read many at a time, so that the server is what is measured.
//
//     nbd_load SOCKET EXPORT read|write|trim BYTES DEPTH [name=value]...
//
//         order=random|sequential|scattered   scattered: each stride of the range once
//         start=BYTES      where the range begins
//         range=BYTES      of the volume that is used; all of it by default
//         stride=BYTES     what offsets are multiples of; the size of a request by default
//         seconds=S        how long; scattered ends before when it is through
//         connections=N    in turn, each with DEPTH requests in flight
//         flush_every=N    a flush after each N requests, waited for like them
//         seed=N
//
//     nbd_load pingpong SECONDS            28 bytes there and 4112 back between two processes
//
// One line of JSON: requests, seconds, longest (seconds of one request).
//
// Method  simple replies, all connections in one thread. Of what is read nothing is looked at.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "libvm/nbd_protocol.h"

namespace thinvol {
namespace {

using nbd::load_be;
using nbd::store_be;
using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& text) {
    fmt::print(stderr, "nbd_load: {}\n", text);
    std::exit(1);
}

double seconds_since(Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
}

struct Work {
    nbd::Command command = nbd::Command::read;
    std::uint64_t bytes = 0;
    std::uint64_t depth = 0;
    std::string order = "random";
    std::uint64_t start = 0;
    std::uint64_t range = 0;
    std::uint64_t stride = 0;
    double seconds = 2;
    std::uint64_t flush_every = 0;
    std::uint64_t seed = 1;
};

// Where the next request goes.
class Offsets {
public:
    Offsets(const Work& work, std::uint64_t size) : work_(work), random_(work.seed) {
        if (work.start >= size) die("the range begins behind the volume's end");
        const std::uint64_t rest = size - work.start;
        const std::uint64_t range = std::min(work.range == 0 ? rest : work.range, rest);
        count_ = range / work.stride;
        if (count_ == 0) die("the range is smaller than a stride");
        if (work.order != "scattered") return;
        for (std::uint64_t i = 0; i < count_; ++i) order_.push_back(static_cast<std::uint32_t>(i));
        std::shuffle(order_.begin(), order_.end(), random_);
    }
    bool ended() const { return work_.order == "scattered" && next_ == count_; }
    std::uint64_t take() { return work_.start + next() * work_.stride; }

private:
    std::uint64_t next() {
        const std::uint64_t n = next_++;
        if (work_.order == "scattered") return order_[n];
        return work_.order == "sequential" ? n % count_ : random_() % count_;
    }

    const Work& work_;
    std::mt19937_64 random_;
    std::uint64_t count_ = 0;
    std::uint64_t next_ = 0;
    std::vector<std::uint32_t> order_;
};

class Connection {
public:
    Connection(const std::string& path, const std::string& name, const Work& work)
        : work_(work),
          payload_(std::min<std::uint64_t>(work.bytes, 32 << 20), std::byte{0x5a}),
          input_(1 << 20) {
        connect_to(path);
        negotiate(name);
        began_.resize(work.depth);
        for (std::uint64_t i = 0; i < work.depth; ++i) idle_.push_back(i);
    }
    ~Connection() { ::close(socket_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    int socket() const { return socket_; }
    std::uint64_t size() const { return size_; }
    std::uint64_t done() const { return done_; }
    double longest() const { return longest_; }
    bool idle() const { return idle_.size() == work_.depth && unsent_ == 0; }
    bool wants_to_send() const { return unsent_ > 0; }

    // Makes requests of all idle places, and sends.
    void fill(Offsets& offsets) {
        if (unsent_ == 0) {
            parts_.clear();
            heads_.clear();
            heads_.reserve(work_.depth * 2);
        }
        while (!idle_.empty() && !offsets.ended() && parts_.size() + 4 < 1000 &&
               heads_.size() < work_.depth * 2)
            make_request(offsets);
        send();
    }
    void send() {
        while (unsent_ > 0) {
            msghdr message{};
            message.msg_iov = parts_.data() + first_part_;
            message.msg_iovlen = parts_.size() - first_part_;
            const ssize_t n = ::sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) return;
            if (n < 0) die(fmt::format("send: {}", std::strerror(errno)));
            advance(static_cast<std::size_t>(n));
        }
        first_part_ = 0;
        parts_.clear();
        heads_.clear();
    }
    void receive(bool wait) {
        const ssize_t n =
            ::recv(socket_, input_.data() + have_, input_.size() - have_, wait ? 0 : MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) die("the server hung up");
        have_ += static_cast<std::size_t>(n);
        std::size_t at = 0;
        while (take_answer(at)) {}
        std::memmove(input_.data(), input_.data() + at, have_ - at);
        have_ -= at;
    }

private:
    static constexpr std::uint64_t flush_bit = std::uint64_t{1} << 63;

    void connect_to(const std::string& path) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.size() >= sizeof address.sun_path) die("socket: path too long");
        std::memcpy(address.sun_path, path.data(), path.size());
        socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            die(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    void read_all(std::byte* into, std::size_t n) const {
        if (::recv(socket_, into, n, MSG_WAITALL) != static_cast<ssize_t>(n))
            die("no such export, or no NBD server");
    }
    void negotiate(const std::string& name) {
        std::array<std::byte, 18> greeting{};
        read_all(greeting.data(), greeting.size());
        std::vector<std::byte> out(4 + nbd::option_bytes + name.size());
        std::byte* p =
            store_be(out.data(), std::uint32_t{nbd::flag_fixed_newstyle | nbd::flag_no_zeroes});
        p = store_be(p, nbd::magic_option);
        p = store_be(p, static_cast<std::uint32_t>(nbd::Option::export_name));
        p = store_be(p, static_cast<std::uint32_t>(name.size()));
        std::memcpy(p, name.data(), name.size());
        if (::send(socket_, out.data(), out.size(), MSG_NOSIGNAL) < 0) die("send");
        std::array<std::byte, 10> answer{};
        read_all(answer.data(), answer.size());
        size_ = load_be<std::uint64_t>(answer.data());
    }

    void add(const std::byte* bytes, std::size_t n) {
        parts_.push_back({const_cast<std::byte*>(bytes), n});
        unsent_ += n;
    }
    void request(nbd::Command command, std::uint64_t cookie, std::uint64_t offset,
                 std::uint32_t length) {
        auto& head = heads_.emplace_back();
        std::byte* p = store_be(head.data(), nbd::magic_request);
        p = store_be(p, std::uint16_t{0});
        p = store_be(p, static_cast<std::uint16_t>(command));
        p = store_be(p, cookie);
        p = store_be(p, offset);
        store_be(p, length);
        add(head.data(), head.size());
    }
    void make_request(Offsets& offsets) {
        const std::uint64_t place = idle_.back();
        idle_.pop_back();
        began_[place] = Clock::now();
        if (work_.flush_every != 0 && ++since_flush_ > work_.flush_every) {
            since_flush_ = 0;
            return request(nbd::Command::flush, place | flush_bit, 0, 0);
        }
        request(work_.command, place, offsets.take(), static_cast<std::uint32_t>(work_.bytes));
        if (work_.command == nbd::Command::write) add(payload_.data(), payload_.size());
    }
    void advance(std::size_t n) {
        unsent_ -= n;
        while (n > 0) {
            iovec& part = parts_[first_part_];
            const std::size_t step = std::min(n, part.iov_len);
            part.iov_base = static_cast<std::byte*>(part.iov_base) + step;
            part.iov_len -= step;
            n -= step;
            if (part.iov_len == 0) ++first_part_;
        }
    }
    bool take_answer(std::size_t& at) {
        if (skip_ > 0) {
            const std::size_t n = std::min<std::size_t>(skip_, have_ - at);
            at += n;
            skip_ -= n;
            if (skip_ > 0) return false;
            end_request();
            return true;
        }
        if (have_ - at < nbd::simple_reply_bytes) return false;
        const std::byte* p = input_.data() + at;
        if (load_be<std::uint32_t>(p) != nbd::magic_simple_reply) die("not a simple reply");
        if (const auto error = load_be<std::uint32_t>(p + 4); error != 0)
            die(fmt::format("the server answers with error {}", error));
        const auto cookie = load_be<std::uint64_t>(p + 8);
        at += nbd::simple_reply_bytes;
        place_ = cookie & ~flush_bit;
        flushed_ = (cookie & flush_bit) != 0;
        if (work_.command != nbd::Command::read || flushed_) end_request();
        else skip_ = work_.bytes;
        return true;
    }
    void end_request() {
        longest_ = std::max(longest_, seconds_since(began_[place_]));
        idle_.push_back(place_);
        if (!flushed_) ++done_;
    }

    const Work& work_;
    int socket_ = -1;
    std::uint64_t size_ = 0;
    std::vector<std::byte> payload_;
    std::vector<std::byte> input_;
    std::size_t have_ = 0;
    std::size_t skip_ = 0;  // payload of the answer to place_
    std::uint64_t place_ = 0;
    bool flushed_ = false;
    std::vector<std::array<std::byte, nbd::request_bytes>> heads_;
    std::vector<iovec> parts_;
    std::size_t first_part_ = 0;
    std::size_t unsent_ = 0;
    std::vector<std::uint64_t> idle_;
    std::vector<Clock::time_point> began_;
    std::uint64_t since_flush_ = 0;
    std::uint64_t done_ = 0;
    double longest_ = 0;
};

using Connections = std::vector<std::unique_ptr<Connection>>;

// Receives what has come, once something has.
void receive_any(const Connections& connections) {
    // One connection waits in recv() itself, which saves a system call.
    if (connections.size() == 1 && !connections.front()->wants_to_send())
        return connections.front()->receive(true);
    std::vector<pollfd> wanted;
    for (const auto& c : connections) {
        const int events = POLLIN | (c->wants_to_send() ? POLLOUT : 0);
        wanted.push_back({c->socket(), static_cast<short>(events), 0});
    }
    ::poll(wanted.data(), wanted.size(), -1);
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if ((wanted[i].revents & ~POLLOUT) != 0) connections[i]->receive(false);
}

int run(const std::string& path, const std::string& name, const Work& work,
        std::uint64_t connection_count) {
    Connections connections;
    for (std::uint64_t i = 0; i < connection_count; ++i)
        connections.push_back(std::make_unique<Connection>(path, name, work));
    Offsets offsets(work, connections.front()->size());
    const auto began = Clock::now();
    for (bool going = true, busy = true; busy;) {
        going = going && seconds_since(began) < work.seconds && !offsets.ended();
        busy = false;
        for (const auto& c : connections) {
            if (going) c->fill(offsets);
            else c->send();
            busy = busy || !c->idle();
        }
        if (!busy) break;
        receive_any(connections);
    }
    const double took = seconds_since(began);
    std::uint64_t done = 0;
    double longest = 0;
    for (const auto& c : connections) {
        done += c->done();
        longest = std::max(longest, c->longest());
    }
    fmt::print("{{\"requests\": {}, \"seconds\": {:.6f}, \"longest\": {:.6f}}}\n", done, took,
               longest);
    return 0;
}

// What two processes and a socket cost without a server's work.
int pingpong(double seconds) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) die("socketpair");
    std::array<std::byte, 4112> buffer{};
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(pair[0]);
        while (::recv(pair[1], buffer.data(), 28, MSG_WAITALL) == 28)
            if (::send(pair[1], buffer.data(), buffer.size(), MSG_NOSIGNAL) < 0) break;
        std::_Exit(0);
    }
    ::close(pair[1]);
    const auto began = Clock::now();
    std::uint64_t n = 0;
    for (; seconds_since(began) < seconds; ++n) {
        if (::send(pair[0], buffer.data(), 28, MSG_NOSIGNAL) != 28 ||
            ::recv(pair[0], buffer.data(), buffer.size(), MSG_WAITALL) != 4112)
            die("ping-pong");
    }
    fmt::print("{{\"requests\": {}, \"seconds\": {:.6f}, \"longest\": 0}}\n", n,
               seconds_since(began));
    ::close(pair[0]);
    ::waitpid(child, nullptr, 0);
    return 0;
}

}  // namespace
}  // namespace thinvol

int main(int argc, char** argv) {
    using namespace thinvol;
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 2 && words[0] == "pingpong") return pingpong(std::stod(words[1]));
    if (words.size() < 5) die("see the head of the source for the operands");
    std::map<std::string, std::string> options;
    for (std::size_t i = 5; i < words.size(); ++i) {
        const std::size_t is = words[i].find('=');
        if (is == std::string::npos) die(words[i] + ": not name=value");
        options[words[i].substr(0, is)] = words[i].substr(is + 1);
    }
    const auto number = [&](const char* name, std::uint64_t otherwise) {
        return options.contains(name) ? std::stoull(options[name]) : otherwise;
    };
    Work work;
    work.command = words[2] == "read"    ? nbd::Command::read
                   : words[2] == "write" ? nbd::Command::write
                                         : nbd::Command::trim;
    work.bytes = std::stoull(words[3]);
    work.depth = std::stoull(words[4]);
    if (options.contains("order")) work.order = options["order"];
    work.start = number("start", 0);
    work.range = number("range", 0);
    work.stride = number("stride", work.bytes);
    if (options.contains("seconds")) work.seconds = std::stod(options["seconds"]);
    work.flush_every = number("flush_every", 0);
    work.seed = number("seed", 1);
    return run(words[0], words[1], work, number("connections", 1));
}
