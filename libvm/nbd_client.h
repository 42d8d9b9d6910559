// NbdClient: the little of an NBD client that an image needs which qemu-nbd has open for us.
//
// Units       bytes
// Invariants  (1) what the server sends is checked: it reads images that others made
// Errors      io_error: the server said so, broke the protocol or went away
// Threads     one
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/base/units.h"

namespace thinvol {

// One of several that are in flight at once.
struct NbdIo {
    ByteOffset at{};
    std::span<std::byte> bytes;
};
// Cut into requests of a size that any server takes.
std::vector<NbdIo> in_requests(ByteOffset at, std::span<std::byte> bytes);

class NbdClient {
public:
    // On a connected socket; blocks until the default export is negotiated.
    static Result<NbdClient> negotiate(UniqueFd socket);

    Bytes size() const { return size_; }
    // Answers in any order, all before it returns. Holes are read as zeroes.
    Result<> read(std::span<const NbdIo> pieces);
    Result<> write(std::span<const NbdIo> pieces);
    // How long it reads as zeroes, or does not, from there on; always something.
    struct Extent {
        Bytes length{};
        bool zero = false;
    };
    Result<Extent> extent(ByteOffset at, Bytes most);
    Result<> flush();
    // The end; nothing is to follow.
    void disconnect();

private:
    explicit NbdClient(UniqueFd socket) : socket_(std::move(socket)) {}
    using OptionReply =
        std::function<Result<>(std::uint32_t type, std::span<const std::byte> data)>;
    Result<> ask_option(std::uint32_t option, std::span<const std::byte> data,
                        const OptionReply& on_reply);
    Result<> set_context();
    Result<> go();
    Result<> send_request(std::uint16_t command, std::uint64_t cookie, ByteOffset at, Bytes length);
    // Takes answers until all of `pieces` have ended; chunks of data go into them.
    Result<> finish(std::span<const NbdIo> pieces, bool reading);
    Result<bool> take_chunk(std::span<const NbdIo> pieces, std::size_t& which, bool reading);
    Result<> take_content(std::span<const NbdIo> pieces, std::size_t which, std::uint16_t type,
                          std::uint32_t length, bool reading);
    Result<> take_hole_or_data(const NbdIo& piece, std::uint16_t type, std::uint32_t length);

    UniqueFd socket_;
    Bytes size_{};
    std::optional<std::uint32_t> context_;  // of base:allocation
    std::vector<std::byte> status_;         // of the last block status
    std::string trouble_;                   // an error chunk's
};

}  // namespace thinvol
