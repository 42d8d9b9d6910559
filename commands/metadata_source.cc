#include "commands/metadata_source.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "commands/lookup.h"
#include "commands/progress.h"
#include "engine/file_queue.h"
#include "engine/metadata_snapshot.h"
#include "engine/superblock.h"

namespace thinvol {
namespace {

class FileView : public MetadataView {
public:
    FileView(UniqueFd fd, const std::string& path, const FileOptions& options)
        : queue_(std::move(fd), path, options) {}
    BlockQueue& device() override { return queue_; }

private:
    FileQueue queue_;
};

Error system_error(const std::string& path) {
    if (errno == EBUSY) return {Errc::busy, path + ": it is mounted, or in use by something else"};
    return {errno == ENOENT ? Errc::not_found : Errc::io_error,
            fmt::format("{}: {}", path, std::strerror(errno))};
}

Result<std::uint64_t> bytes_of(int fd, const struct stat& st, const std::string& path) {
    if (S_ISREG(st.st_mode)) return static_cast<std::uint64_t>(st.st_size);
    std::uint64_t bytes = 0;
    if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) return system_error(path);
    return bytes;
}

Result<MetadataSource> open_pool_metadata(const Invocation& call, MetadataAccess access) {
    Session session = TRY(call.session());
    const FoundPool found = TRY(find_pool(session, call.operands().front()));
    if (access == MetadataAccess::change) {
        const auto served =
            TRY(ask_if_served(session.environment, found.pool, new_request(StatusRequest{})));
        if (served)
            return Error(Errc::busy, fmt::format("{} is active; deactivate it: tvchange -an {}",
                                                 found.full_name(), found.full_name()));
    }
    auto view = TRY(MetadataView::open(session, found.group, found.pool));
    return MetadataSource{found.full_name(), std::move(view)};
}

}  // namespace

Result<MetadataSource> open_metadata_device(const std::string& path, MetadataAccess access) {
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) return system_error(path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return Error(Errc::invalid_argument,
                     fmt::format("{} is neither a regular file nor a block device", path));
    const bool shared = access == MetadataAccess::read_snapshot;
    FileOptions options;
    // Past the page cache: what the kernel's target wrote is not in it.
    options.direct = shared && S_ISBLK(st.st_mode);
    options.granule = options.direct ? Sectors(8) : Sectors(1);
    const int flags = (access == MetadataAccess::change ? O_RDWR : O_RDONLY) | O_CLOEXEC |
                      (S_ISBLK(st.st_mode) && !shared ? O_EXCL : 0) |
                      (options.direct ? O_DIRECT : 0);
    UniqueFd fd(::open(path.c_str(), flags));
    if (!fd) return system_error(path);
    const std::uint64_t bytes = TRY(bytes_of(fd.get(), st, path));
    if (bytes < metadata_block_bytes)
        return Error(Errc::invalid_argument,
                     fmt::format("{} is no metadata device: it has {} bytes, a superblock {}", path,
                                 bytes, metadata_block_bytes));
    options.size = to_sectors(Bytes(bytes / metadata_block_bytes * metadata_block_bytes));
    return MetadataSource{path, std::make_unique<FileView>(std::move(fd), path, options)};
}

Result<MetadataSource> open_metadata(const Invocation& call, MetadataAccess access) {
    const bool bare = call.has(device_option.name);
    MetadataSource source = TRY(bare ? open_metadata_device(call.value(device_option.name), access)
                                     : open_pool_metadata(call, access));
    BlockQueue& device = source.view->device();
    const auto superblock = Superblock::read(device);
    if (superblock)
        source.watched = std::make_unique<WatchedQueue>(
            call, device,
            to_sector(MetadataBlock(superblock->metadata_space_map.allocated)) - Sector(0));
    return source;
}

Result<MetadataSource> open_volumes_metadata(const Invocation& call) {
    if (!call.has(metadata_snapshot_option.name)) return open_metadata(call, MetadataAccess::read);
    MetadataSource source = TRY(open_metadata(call, MetadataAccess::read_snapshot));
    source.snapshot = TRY(within(source.name, MetadataSnapshotQueue::open(source.device())));
    return source;
}

}  // namespace thinvol
