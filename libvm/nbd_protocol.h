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
inline constexpr std::uint32_t magic_simple_reply = 0x67446698;

inline constexpr std::uint16_t flag_fixed_newstyle = 1;
inline constexpr std::uint16_t flag_no_zeroes = 2;

enum class Option : std::uint32_t { export_name = 1, abort = 2, list = 3, info = 6, go = 7 };
constexpr bool is_known(Option option) {
    switch (option) {
        case Option::export_name:
        case Option::abort:
        case Option::list:
        case Option::info:
        case Option::go: return true;
    }
    return false;
}

enum class Reply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    unsupported = 0x80000001,
    invalid = 0x80000003,
    unknown = 0x80000006,
    shutdown = 0x80000007,
    too_big = 0x80000009,
};

enum class Info : std::uint16_t { export_ = 0, name = 1, description = 2, block_size = 3 };

inline constexpr std::uint16_t has_flags = 1;
inline constexpr std::uint16_t read_only = 2;
inline constexpr std::uint16_t send_flush = 4;
inline constexpr std::uint16_t send_fua = 8;
inline constexpr std::uint16_t send_trim = 32;
inline constexpr std::uint16_t send_write_zeroes = 64;
inline constexpr std::uint16_t can_multi_conn = 256;

enum class Command : std::uint16_t {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    write_zeroes = 6
};
inline constexpr std::uint16_t command_fua = 1;
inline constexpr std::uint16_t command_no_hole = 2;

inline constexpr std::uint32_t error_perm = 1;
inline constexpr std::uint32_t error_io = 5;
inline constexpr std::uint32_t error_invalid = 22;
inline constexpr std::uint32_t error_no_space = 28;
inline constexpr std::uint32_t error_shutdown = 108;

inline constexpr std::size_t request_bytes = 28;
inline constexpr std::size_t option_bytes = 16;
inline constexpr std::size_t simple_reply_bytes = 16;

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
