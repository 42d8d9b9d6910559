// metadata_source: the metadata that a tool works on: of a pool in the catalog, or of a bare device
// that any system wrote.
//
// Units       none
// Invariants  (1) an active pool is seen as of one durable transaction, which its server pins; an
//                 inactive one is locked meanwhile
//             (2) a bare block device is opened O_EXCL, so nobody has it in use, except to read a
//                 metadata snapshot, which cannot change
// Errors      invalid_argument: neither file nor block device, or too small to be a metadata
// device;
//             busy: in use, or, for changing, an active pool; not_found; io_error
// Threads     one
// Source      thin-provisioning-tools' --metadata-dev; lvm(8)
#pragma once

#include "commands/invocation.h"
#include "libvm/pool_access.h"

namespace thinvol {

// For the commands' tables. A command that has it names it as .instead_of_operands too.
inline constexpr OptionSpec device_option{
    "device", 0, Value::any_device,
    "A bare metadata device, a file or block device, instead of a pool."};
inline constexpr OperandSpec pool_operand{"VG/Pool", Value::pool, "Pool, active or not."};

enum class MetadataAccess {
    read,
    read_snapshot,  // of the metadata snapshot only: the device may be in use
    change,
};

// As above, of commands for which a metadata snapshot will do.
inline constexpr OptionSpec metadata_snapshot_option{
    "metadata-snap", 'm', Value::none,
    "Of the metadata snapshot, which a pool in use may have; a bare device may be in use then."};

struct MetadataSource {
    std::string name;  // "vg0/pool0", or the device's path
    std::unique_ptr<MetadataView> view;
    std::unique_ptr<BlockQueue> watched{};   // shows how far a long run is
    std::unique_ptr<BlockQueue> snapshot{};  // with --metadata-snap
    BlockQueue& device() { return snapshot ? *snapshot : watched ? *watched : view->device(); }
};

// What --device names, else the pool that the first operand names. Shows progress while it is read.
Result<MetadataSource> open_metadata(const Invocation& call,
                                     MetadataAccess access = MetadataAccess::read);
// The same to be read; with --metadata-snap, as its metadata snapshot.
Result<MetadataSource> open_volumes_metadata(const Invocation& call);
// A bare metadata device.
Result<MetadataSource> open_metadata_device(const std::string& path, MetadataAccess access);

}  // namespace thinvol
