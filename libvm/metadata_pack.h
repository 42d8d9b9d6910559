// metadata_pack: a metadata device as a small file, to be sent to whoever is to look at it; damage
// and all, but nothing that is not metadata.
//
// Gzip of: "TVMDPACK"; version 1, the device's blocks (64 bit, little endian); then for each block
// its number and its bytes, ascending; then ~0. Packed are block 0 and the blocks whose checksum
// and own number are those of a metadata block: whatever else lies there may be somebody's data.
//
// Units       metadata blocks
// Invariants  (1) streams: holds a megabyte of the device at a time
//             (2) unpacking writes block 0 last: until then the result is no metadata device
// Errors      corrupt, naming the place, for a file that is no pack; io_error
// Threads     one
// Source      thin-provisioning-tools thin_metadata_pack(8), for the purpose; the form is our own
#pragma once

#include <functional>
#include <string>

#include "engine/block_queue.h"

namespace thinvol {

// How many blocks were packed.
Result<std::uint64_t> pack_metadata(BlockQueue& device, const std::string& path);
// `make` gives the device to write to, of at least as many blocks, all zeroes.
Result<std::uint64_t> unpack_metadata(
    const std::string& path,
    const std::function<Result<std::unique_ptr<BlockQueue>>(MetadataBlocks)>& make);

}  // namespace thinvol
