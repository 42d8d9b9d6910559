// kernel_tables: a pool as the kernel's device-mapper is to have it: the tables that activate it
// there, under LVM's names.
//
// Units       sectors
// Invariants  (1) a device stands behind those that its table names
//             (2) the metadata device is at most as large as the kernel uses, the data device has
//                 whole blocks: the kernel resizes neither
// Errors      invalid_argument: a physical volume that the kernel cannot name; not_found: a device
//             given for none of the pool's; busy: the pool is active
// Threads     as the catalog's
// Source      the kernel's Documentation/admin-guide/device-mapper/thin-provisioning.rst,
// linear.rst;
//             dmsetup(8); LVM2's lib/activate/dev_manager.c for the names
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libvm/session.h"

namespace thinvol {

struct KernelTable {
    std::string name;                // below /dev/mapper
    std::vector<std::string> lines;  // several where the device has several segments
    bool read_only = false;
};

// `devices`: what stands for physical volumes that are files, by the volumes' paths.
Result<std::vector<KernelTable>> kernel_tables(Session& session, const GroupRow& group,
                                               const PoolRow& pool,
                                               const std::map<std::string, std::string>& devices);

}  // namespace thinvol
