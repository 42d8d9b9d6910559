// BarePool: a pool on a metadata device and a data device, without group or catalog, as `dmsetup`
// has it: somebody else's, or a laboratory.
//
// Units       sectors
// Invariants  (1) both devices are locked for as long as this lives (a block device is opened
//                 O_EXCL: never one that is mounted or mapped)
//             (2) what was done is durable when this ends
//             (3) writes never wait for space, whatever the features say: nobody would make some
// Errors      not_found, busy, corrupt, invalid_argument; exists: create() found something there
// Threads     one
// Source      Documentation/admin-guide/device-mapper/thin-provisioning.rst
#pragma once

#include <memory>
#include <string>

#include "engine/pool.h"
#include "libvm/physical_volume.h"

namespace thinvol {

struct BareDevices {
    std::string metadata;
    std::string data;
};

class BarePool {
public:
    // Formats the metadata device, whose first block must be all zeroes unless `overwrite`.
    static Result<BarePool> create(const BareDevices& devices, Sectors data_block_size,
                                   const PoolFeatures& features, bool overwrite);
    static Result<BarePool> open(const BareDevices& devices, const PoolFeatures& features);
    BarePool(BarePool&&) = default;
    ~BarePool();

    Pool& pool() { return *pool_; }
    std::string status_json() const;
    // Both devices as large as they are now.
    Result<> grow();

private:
    static Result<BarePool> lock(const BareDevices& devices);
    BarePool() = default;
    std::unique_ptr<BlockQueue> metadata_;
    std::unique_ptr<BlockQueue> data_;
    std::unique_ptr<Pool> pool_;
};

}  // namespace thinvol
