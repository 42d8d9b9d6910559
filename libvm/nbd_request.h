// NbdRequest: one request of a client, with its buffer and, in the end, its answer as bytes.
//
// The answer is a row of pieces for sendmsg: chunk heads that lie here, and payload where the
// engine put it. Nothing is copied, and an object used again allocates nothing that it has already.
//
// Units       bytes
// Invariants  (1) `pieces` point into `heads` and `buffer`, which stay as they are until it is sent
//             (2) READ answered in chunks: they cover the request in order, without overlap
// Errors      none
// Threads     the reactor's
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/io_request.h"
#include "libvm/nbd_protocol.h"
#include "libvm/payload_buffers.h"

namespace thinvol {

class NbdConnection;
struct NbdExport;

enum class NbdReplies { simple, structured, extended };

struct NbdContexts {
    bool allocation = false;
    bool sharing = false;
    bool any() const { return allocation || sharing; }
};

// What client and server agreed on before the first request.
struct NbdAgreement {
    NbdExport* exported = nullptr;
    bool may_write = false;
    NbdReplies replies = NbdReplies::simple;
    NbdContexts contexts;
};
// Their ids.
inline constexpr std::uint32_t allocation_id = 1;
inline constexpr std::uint32_t sharing_id = 2;

struct NbdRequest {
    IoRequest io;
    NbdConnection* connection = nullptr;
    nbd::Command command{};
    std::uint64_t cookie = 0;
    std::uint64_t offset = 0;
    NbdContexts contexts;  // that block status is to tell
    PayloadBuffer payload;
    std::size_t held = 0;  // counted in the connection's memory
    std::vector<VolumeExtent> extents;
    std::vector<std::byte> heads;
    std::vector<iovec> pieces;
    std::size_t answer_bytes = 0;

    NbdRequest() = default;
    NbdRequest(const NbdRequest&) = delete;
    NbdRequest& operator=(const NbdRequest&) = delete;

    // Lets go of what a small request does not need.
    void shrink();

    // Makes the answer, of which `error` is not 0 or all went well.
    void answer(const NbdAgreement& agreed, std::uint32_t error, std::string_view text);

private:
    void answer_simple(std::uint32_t error);
    void answer_error(const NbdAgreement& agreed, std::uint32_t error, std::string_view text);
    void answer_read(const NbdAgreement& agreed);
    void answer_status(const NbdAgreement& agreed);
    std::byte* chunk(std::byte* p, NbdReplies form, bool last, nbd::Chunk type,
                     std::uint64_t length) const;
    std::byte* status(std::byte* p, NbdReplies form, bool last, std::uint32_t id,
                      std::uint32_t (*flags_of)(Backing)) const;
    void add(const std::byte* bytes, std::size_t n);
};

}  // namespace thinvol
