// ThinQueue: a thin volume as a device to read: the external origin of another.
//
// Units       sectors of the volume
// Invariants  (1) read only
//             (2) whoever drives the volume's pool delivers: a pool that is driven anyway, as the
//                 consumer's own is, must not be driven from within
// Errors      the volume's; read_only for all but reads
// Threads     the pool's
// Source      none
#pragma once

#include <memory>
#include <vector>

#include "engine/pool.h"

namespace thinvol {

class ThinQueue : public BlockQueue {
public:
    enum class Pools { same, other };  // is the consumer in the same pool?
    // The volume stays open for as long as this lives.
    ThinQueue(Pool& pool, Volume& volume, Pools pools)
        : pool_(pool), volume_(volume), pools_(pools) {}

    Sectors size() const override { return to_sectors(volume_.size); }
    Sectors granule() const override { return Sectors(1); }
    bool submit(Request& request) override;
    void poll(bool wait) override;
    std::size_t in_flight() const override { return reads_.size(); }

private:
    struct Read {
        Request* request = nullptr;
        std::size_t parts = 0;  // not answered yet
        std::vector<IoRequest> pieces;
    };

    Pool& pool_;
    Volume& volume_;
    Pools pools_;
    std::vector<std::unique_ptr<Read>> reads_;
};

}  // namespace thinvol
