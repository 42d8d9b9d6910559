// control_protocol: how a command and a pool's server talk over the pool's control socket.
//
// The server says hello with 8 bytes, "TVCTL" and a version; then the client sends requests and the
// server answers each, in order, as frames: a 32-bit little-endian length and that much JSON
// (pool_request.h). An answer may announce bytes that follow it.
//
// Units       bytes
// Invariants  a frame has at most longest_frame bytes; a peer that sends more, or nothing for too
//             long, is dropped
// Errors      unsupported: another version; io_error: the other end went away, or does not answer
//             (with its pid and the way out); not_found: nobody listens
// Threads     one for each connection
// Source      unix(7)
#pragma once

#include <chrono>
#include <filesystem>
#include <span>
#include <string>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "libvm/pool_request.h"

namespace thinvol {

inline constexpr std::size_t longest_frame = 16 << 20;

// Sends and receives on a connected socket; blocking.
Result<> send_hello(int fd);
Result<> receive_hello(int fd);
Result<> send_frame(int fd, std::string_view text);
// Nothing at an end of file between frames.
Result<std::optional<std::string>> receive_frame(int fd);
Result<> send_bytes(int fd, std::span<const std::byte> bytes);
Result<> receive_bytes(int fd, std::span<std::byte> bytes);

// A listening socket that only this user may connect to; what was left there by a dead server is
// replaced.
Result<UniqueFd> listen_on(const std::filesystem::path& path);
// Whether the peer is this user or root.
bool peer_may_connect(int fd);

class ControlClient {
public:
    // not_found when no server listens there. A server that shows no sign of life for `patience` is
    // stuck: io_error.
    static Result<ControlClient> connect(const std::filesystem::path& path,
                                         std::chrono::seconds patience);
    Result<PoolAnswer> ask(const PoolRequest& request);
    // The two halves of ask(), for who must tell a lost answer from an answered error.
    Result<> send(const PoolRequest& request) { return send_frame(fd_.get(), to_json(request)); }
    // Until there is an answer or an end; io_error: the server is stuck, or at it for too long.
    Result<> await_answer();
    Result<std::optional<std::string>> receive_answer() { return receive_frame(fd_.get()); }
    // What the request said would follow.
    Result<> send_payload(std::span<const std::byte> bytes) { return send_bytes(fd_.get(), bytes); }
    // What the last answer said would follow.
    Result<> receive(std::span<std::byte> bytes) { return receive_bytes(fd_.get(), bytes); }
    // Returns when the server has ended all that belongs to the connection.
    void close();

private:
    ControlClient(UniqueFd fd, std::filesystem::path path, std::chrono::seconds patience)
        : fd_(std::move(fd)), path_(std::move(path)), patience_(patience) {}
    UniqueFd fd_;
    std::filesystem::path path_;
    std::chrono::seconds patience_;
};

}  // namespace thinvol
