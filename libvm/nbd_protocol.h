// nbd_protocol: the numbers of the NBD protocol that the server uses.
//
// Units       big-endian on the wire; see load_be and store_be
// Invariants  none
// Errors      none
// Threads     any; constants
// Source      NetworkBlockDevice/nbd doc/proto.md
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace thinvol::nbd {

inline constexpr std::uint64_t magic_greeting = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr std::uint64_t magic_option = 0x49484156454f5054;    // "IHAVEOPT"
inline constexpr std::uint64_t magic_option_reply = 0x0003e889045565a9;
inline constexpr std::uint32_t magic_request = 0x25609513;
inline constexpr std::uint32_t magic_extended_request = 0x21e41c71;
inline constexpr std::uint32_t magic_simple_reply = 0x67446698;
inline constexpr std::uint32_t magic_structured_reply = 0x668e33ef;
inline constexpr std::uint32_t magic_extended_reply = 0x6e8a278c;

inline constexpr std::uint16_t flag_fixed_newstyle = 1;
inline constexpr std::uint16_t flag_no_zeroes = 2;

enum class Option : std::uint32_t {
    export_name = 1,
    abort = 2,
    list = 3,
    start_tls = 5,
    info = 6,
    go = 7,
    structured_reply = 8,
    list_meta_context = 9,
    set_meta_context = 10,
    extended_headers = 11,
};
constexpr bool is_known(Option option) {
    const auto number = static_cast<std::uint32_t>(option);
    return number >= 1 && number <= 11 && number != 4;
}

enum class Reply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    meta_context = 4,
    unsupported = 0x80000001,
    policy = 0x80000002,
    invalid = 0x80000003,
    tls_required = 0x80000005,
    unknown = 0x80000006,
    shutdown = 0x80000007,
    too_big = 0x80000009,
    extended_headers_required = 0x8000000a,
};

enum class Info : std::uint16_t { export_ = 0, name = 1, description = 2, block_size = 3 };

inline constexpr std::uint16_t has_flags = 1;
inline constexpr std::uint16_t read_only = 2;
inline constexpr std::uint16_t send_flush = 4;
inline constexpr std::uint16_t send_fua = 8;
inline constexpr std::uint16_t send_trim = 32;
inline constexpr std::uint16_t send_write_zeroes = 64;
inline constexpr std::uint16_t send_df = 128;
inline constexpr std::uint16_t can_multi_conn = 256;
inline constexpr std::uint16_t send_cache = 1024;
inline constexpr std::uint16_t send_fast_zero = 2048;
inline constexpr std::uint16_t block_status_payload = 4096;

enum class Command : std::uint16_t {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    cache = 5,
    write_zeroes = 6,
    block_status = 7
};
inline constexpr std::uint16_t command_fua = 1;
inline constexpr std::uint16_t command_no_hole = 2;
inline constexpr std::uint16_t command_df = 4;
inline constexpr std::uint16_t command_req_one = 8;
inline constexpr std::uint16_t command_fast_zero = 16;
inline constexpr std::uint16_t command_payload_len = 32;

enum class Chunk : std::uint16_t {
    none = 0,
    offset_data = 1,
    offset_hole = 2,
    block_status = 5,
    block_status_ext = 6,
    error = 0x8001
};
inline constexpr std::uint16_t chunk_done = 1;

// Of base:allocation.
inline constexpr std::uint32_t state_hole = 1;
inline constexpr std::uint32_t state_zero = 2;
// Of x-thinvol:sharing. 0: the block is this volume's alone, and written in place.
inline constexpr std::uint32_t sharing_none = 1;    // no block: a write takes one
inline constexpr std::uint32_t sharing_shared = 2;  // others may have it too: as above
inline constexpr std::uint32_t sharing_origin = 4;  // the external origin shows

inline constexpr std::uint32_t error_perm = 1;
inline constexpr std::uint32_t error_io = 5;
inline constexpr std::uint32_t error_invalid = 22;
inline constexpr std::uint32_t error_no_space = 28;
inline constexpr std::uint32_t error_overflow = 75;
inline constexpr std::uint32_t error_unsupported = 95;
inline constexpr std::uint32_t error_shutdown = 108;

// What says which contexts a BLOCK_STATUS is about: a length, and their ids.
inline constexpr std::size_t filter_bytes = 8;
inline constexpr std::size_t filter_id_bytes = 4;

inline constexpr std::size_t request_bytes = 28;
inline constexpr std::size_t extended_request_bytes = 32;
inline constexpr std::size_t option_bytes = 16;
inline constexpr std::size_t simple_reply_bytes = 16;
inline constexpr std::size_t chunk_bytes = 20;
inline constexpr std::size_t extended_chunk_bytes = 32;

template <class T>
T load_be(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return std::endian::native == std::endian::little ? std::byteswap(v) : v;
}
template <class T>
std::byte* store_be(std::byte* p, T v) {
    if constexpr (std::endian::native == std::endian::little) v = std::byteswap(v);
    std::memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

}  // namespace thinvol::nbd
