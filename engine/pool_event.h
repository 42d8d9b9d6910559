// pool_event: what happens to a pool that its owner may want to know at once.
//
// Units       percent; blocks
// Invariants  an event tells of an edge: it comes once, and again only after the state was left
// Errors      none
// Threads     any; values
// Source      the kernel target's table events (dm-thin.c), lvmthin(7) on monitoring
#pragma once

#include <functional>
#include <string>

namespace thinvol {

// In the order of how little still works.
enum class PoolMode { write, out_of_data_space, out_of_metadata_space, read_only, failed };
const char* name_of(PoolMode mode);

struct PoolEvent {
    enum class Kind {
        mode,                // see `mode`, why in `text`
        no_space_timeout,    // writes that waited for space fail from now on
        data_low_water,      // no more free data blocks than the pool's low water mark
        metadata_low_water,  // as the kernel's: a quarter of the blocks, 1024 at most
        data_level,          // the data device passed `percent`
        metadata_level,
    };
    Kind kind = Kind::mode;
    PoolMode mode = PoolMode::write;
    unsigned percent = 0;
    std::string text;
    unsigned from_percent = 0;  // of a level: the highest one that was passed before
};
const char* name_of(PoolEvent::Kind kind);

using EventSink = std::function<void(const PoolEvent&)>;

}  // namespace thinvol
