// bare_volume: bytes of a thin volume to and from a descriptor, for pools without a group.
//
// Units       bytes
// Invariants  what was written is durable when write_volume() or unmap_volume() returns
// Errors      as Pool's; io_error of the descriptor
// Threads     the pool's
// Source      none
#pragma once

#include "engine/pool.h"

namespace thinvol {

// The size of a thin volume is not in a pool's metadata: whoever opens it says it.
struct VolumeRange {
    ThinId id{};
    Bytes offset{};
    Bytes length{};
};

Result<> read_volume(Pool& pool, const VolumeRange& range, int to);
// Until the end of the input, whatever the range's length.
Result<> write_volume(Pool& pool, const VolumeRange& range, int from);
Result<> unmap_volume(Pool& pool, const VolumeRange& range, IoKind kind);

}  // namespace thinvol
