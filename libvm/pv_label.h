// PvLabel: what the first MiB of a physical volume says about it.
//
// Two copies of 4096 bytes, at 4096 and 8192; the valid one with the higher sequence number counts,
// so that a torn write leaves the other. Behind them, up to data_start, is the place of the group's
// first log (pv_log.h); a larger log has hidden extents, and the label says where.
//
//   offset size field
//        0    8 magic "THINVOL\n"
//        8    4 crc32c of the block with this field zero
//       12    4 version, 1
//       16    8 sequence
//       24   16 uuid of the physical volume
//       40   16 uuid of its group
//       56   16 uuid of the environment whose catalog knows the group
//       72    8 size in sectors
//       80    8 data_start in sectors
//       88    8 extent size in sectors
//       96    8 log_at in sectors
//      104    8 log_length in sectors; 0: it keeps no log
//      112    4 I/O mode: 0 buffered, 1 direct
//      120  128 name of the group, for messages; zero-padded
//
// Units       sectors
// Invariants  integers little-endian; what is not listed is zero
// Errors      not_found: no label; corrupt: damaged; unsupported: a newer version
// Threads     any; values
// Source      LVM2's label sector (the idea)
#pragma once

#include "engine/block_queue.h"
#include "libvm/catalog.h"
#include "libvm/uuid.h"

namespace thinvol {

inline constexpr Sectors pv_data_start{2048};  // 1 MiB
inline constexpr Sector pv_first_log{32};      // behind the labels, up to data_start

struct PvLabel {
    std::uint64_t sequence = 0;
    UuidBytes pv{};
    UuidBytes group{};
    UuidBytes environment{};
    Sectors size{};
    Sectors data_start{};
    Sectors extent_size{};
    Sector log_at{};
    Sectors log_length{};
    IoMode io_mode = IoMode::buffered;
    std::string group_name;
};

Result<PvLabel> read_label(BlockQueue& device);
// Writes over the older copy, with the next sequence number; durable on success.
Result<> write_label(BlockQueue& device, PvLabel& label);
// Both copies; durable on success.
Result<> wipe_label(BlockQueue& device);

}  // namespace thinvol
