// ublk_abi: what the kernel's ublk driver and its server say to each other.
//
// Declared here, because a system's own header may be older than its kernel: Debian 12's knows
// neither the commands' ioctl form nor user copy.
//
// Units       sectors of 512 bytes where a name says so, else bytes; shifts are powers of two
// Invariants  the layouts below, asserted
// Errors      none
// Threads     any; declarations
// Source      Linux include/uapi/linux/ublk_cmd.h and Documentation/block/ublk.rst
#pragma once

#include <cstddef>
#include <cstdint>

namespace thinvol::ublk {

// --- commands. Kernels before 6.4 know only their low byte.
enum class Control : std::uint32_t {
    add_device = 0xc0207504,
    remove_device = 0xc0207505,        // waits for whoever has it open
    remove_device_later = 0x80207514,  // 6.9: does not
    start_device = 0xc0207506,
    stop_device = 0xc0207507,
    set_parameters = 0xc0207508,
    device_info = 0x80207502,
    device_info_by_path = 0x80207512,  // 6.3: also of one that a user made
    start_recovery = 0xc0207510,       // 6.1; another server takes a device over, from here
    end_recovery = 0xc0207511,         // to here
    features = 0x80207513,             // 6.5
    update_size = 0xc0207515,          // 6.16
};
enum class Io : std::uint32_t {
    fetch = 0xc0107520,
    commit_and_fetch = 0xc0107521,
};
constexpr std::uint32_t legacy(std::uint32_t command) { return command & 0xff; }

inline constexpr std::uint64_t feature_recovery = 1U << 3;  // outlives its server
inline constexpr std::uint64_t feature_reissue = 1U << 4;   // what that one had not answered too
// A user made it, and its commands carry the path of its character device, which he may write to.
inline constexpr std::uint64_t feature_unprivileged = 1U << 5;  // 6.3
inline constexpr std::uint64_t feature_user_copy = 1U << 7;
inline constexpr std::uint64_t feature_update_size = 1U << 10;

inline constexpr std::uint32_t any_device = 0xffffffff;
inline constexpr std::uint16_t no_queue = 0xffff;

struct ControlCommand {  // in the SQE
    std::uint32_t device = any_device;
    std::uint16_t queue = no_queue;
    std::uint16_t length = 0;
    std::uint64_t address = 0;
    std::uint64_t data = 0;
    std::uint16_t path_length = 0;  // of what is at `address`, before the rest
    std::uint16_t pad = 0;
    std::uint32_t reserved = 0;
};
static_assert(sizeof(ControlCommand) == 32 && offsetof(ControlCommand, path_length) == 24);

struct DeviceInfo {
    std::uint16_t queues = 0;
    std::uint16_t depth = 0;
    std::uint16_t state = 0;
    std::uint16_t pad0 = 0;
    std::uint32_t io_bytes_max = 0;
    std::uint32_t device = any_device;
    std::int32_t server_pid = -1;
    std::uint32_t pad1 = 0;
    std::uint64_t flags = 0;
    std::uint64_t server_flags = 0;  // the server's own, kept by the kernel
    std::uint32_t owner_uid = 0;
    std::uint32_t owner_gid = 0;
    std::uint64_t reserved[2] = {};
};
static_assert(sizeof(DeviceInfo) == 64 && offsetof(DeviceInfo, flags) == 24);

inline constexpr std::uint16_t state_dead = 0;  // not started yet, or stopped

struct Parameters {
    std::uint32_t length = 0;  // how much of this is filled
    std::uint32_t types = 0;
    std::uint32_t attributes = 0;  // "basic" from here
    std::uint8_t logical_block_shift = 0;
    std::uint8_t physical_block_shift = 0;
    std::uint8_t io_optimal_shift = 0;
    std::uint8_t io_least_shift = 0;
    std::uint32_t sectors_max = 0;
    std::uint32_t chunk_sectors = 0;
    std::uint64_t device_sectors = 0;
    std::uint64_t virtual_boundary_mask = 0;
    std::uint32_t discard_alignment = 0;  // "discard" from here
    std::uint32_t discard_granularity = 0;
    std::uint32_t discard_sectors_max = 0;
    std::uint32_t write_zeroes_sectors_max = 0;
    std::uint16_t discard_segments_max = 0;
    std::uint16_t reserved = 0;
    std::uint32_t pad = 0;
};
static_assert(offsetof(Parameters, device_sectors) == 24);
static_assert(offsetof(Parameters, discard_alignment) == 40);
inline constexpr std::uint32_t parameters_bytes = offsetof(Parameters, pad);
static_assert(parameters_bytes == 60);
inline constexpr std::uint32_t type_basic = 1U << 0;
inline constexpr std::uint32_t type_discard = 1U << 1;
inline constexpr std::uint32_t attribute_read_only = 1U << 0;
inline constexpr std::uint32_t attribute_volatile_cache = 1U << 2;
inline constexpr std::uint32_t attribute_fua = 1U << 3;

// --- a queue: one descriptor a tag, mapped from the character device, each queue's behind that of
// the one before as if it were as deep as can be
inline constexpr std::size_t depth_max = 4096;
struct IoDescriptor {
    std::uint32_t op_flags = 0;
    std::uint32_t sectors = 0;
    std::uint64_t start_sector = 0;
    std::uint64_t address = 0;
};
static_assert(sizeof(IoDescriptor) == 24);
enum class Op : std::uint8_t {
    read = 0,
    write = 1,
    flush = 2,
    discard = 3,
    write_zeroes = 5,
};
// In op_flags as they are.
inline constexpr std::uint32_t io_fua = 1U << 13;
inline constexpr std::uint32_t io_no_unmap = 1U << 15;

struct IoCommand {  // in the SQE
    std::uint16_t queue = 0;
    std::uint16_t tag = 0;
    std::int32_t result = 0;
    std::uint64_t address = 0;
};
static_assert(sizeof(IoCommand) == 16);

// Where a request's data are in the character device, with user copy.
constexpr std::uint64_t data_offset(std::uint16_t queue, std::uint16_t tag) {
    return 0x80000000ULL + (std::uint64_t{queue} << 41) + (std::uint64_t{tag} << 25);
}

}  // namespace thinvol::ublk
