// SpaceBounds: how many data blocks of a pool one volume may have, and how many are kept for it.
//
// A block counts for the volume whose write allocated it, as long as that volume maps it: those of
// its mappings that are not older than the volume itself. What a snapshot inherits is its origin's.
//
// Units       data blocks
// Invariants  (1) `own` is exact at all times, also for a volume that is not open
//             (2) an allocation that would pass `limit`, or take what is reserved for another
//                 volume, is refused before it is made
// Errors      out_of_space, naming the volume and the bound
// Threads     the metadata executor's
// Source      disk quotas, quota(1); ZFS refquota and refreservation
#pragma once

#include <cstdint>

#include "engine/base/units.h"

namespace thinvol {

struct SpaceBounds {
    DataBlocks limit{};  // 0: none
    DataBlocks reservation{};
    bool operator==(const SpaceBounds&) const = default;
};

struct BoundedSpace {
    SpaceBounds bounds{};
    std::uint64_t own = 0;
    std::uint64_t filling = 0;  // allocated, not mapped yet

    std::uint64_t promised() const {  // still to be had of the reservation
        const std::uint64_t have = own + filling;
        return bounds.reservation.n > have ? bounds.reservation.n - have : 0;
    }
};

}  // namespace thinvol
