#include "engine/metadata_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/superblock.h"

namespace thinvol {

Result<std::unique_ptr<MetadataSnapshotQueue>> MetadataSnapshotQueue::open(BlockQueue& device) {
    std::unique_ptr<MetadataSnapshotQueue> queue(new MetadataSnapshotQueue(device));
    auto& bytes = queue->superblock_;
    TRY(within("superblock", read_now(device, Sector(0), bytes)));
    const MetadataBlock held = TRY(Superblock::decode(bytes)).held_root;
    if (held == MetadataBlock(0))
        return Error(Errc::not_found,
                     "there is no metadata snapshot; the message reserve_metadata_snap makes one");
    DiskSuperblock live;
    std::memcpy(&live, bytes.data(), sizeof live);
    TRY(within(fmt::format("metadata snapshot, metadata block {}", held),
               read_now(device, to_sector(held), bytes)));
    DiskSuperblock disk;
    std::memcpy(&disk, bytes.data(), sizeof disk);
    if (disk.blocknr.get() != held.n ||
        disk.csum.get() != checksum_of(BlockKind::superblock, bytes))
        return Error(Errc::corrupt,
                     fmt::format("metadata block {}: this is no metadata snapshot", held));
    disk.blocknr.set(0);
    disk.data_space_map_root = live.data_space_map_root;
    disk.metadata_space_map_root = live.metadata_space_map_root;
    std::memcpy(bytes.data(), &disk, sizeof disk);
    disk.csum.set(checksum_of(BlockKind::superblock, bytes));
    std::memcpy(bytes.data(), &disk, sizeof disk);
    TRY(Superblock::decode(bytes));
    return queue;
}

bool MetadataSnapshotQueue::submit(Request& request) {
    if (request.op != Op::read) {
        request.outcome = Error(Errc::read_only, "a metadata snapshot cannot change");
        return true;
    }
    if (request.at >= to_sector(MetadataBlock(1))) return device_.submit(request);
    if (auto r = check_range(*this, request); !r) {
        request.outcome = std::move(r);
        return true;
    }
    std::uint64_t at = to_bytes(request.at).n;
    request.outcome = {};
    for (const iovec& part : request.data) {
        std::span<std::byte> into(static_cast<std::byte*>(part.iov_base), part.iov_len);
        if (at < superblock_.size()) {
            const std::size_t n = std::min<std::uint64_t>(into.size(), superblock_.size() - at);
            std::memcpy(into.data(), superblock_.data() + at, n);
            into = into.subspan(n);
            at += n;
        }
        if (into.empty()) continue;
        request.outcome = read_now(device_, to_sector(ByteOffset(at)), into);
        if (!request.outcome) break;
        at += into.size();
    }
    return true;
}

}  // namespace thinvol
