#include "libvm/physical_volume.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

namespace thinvol {
namespace {

Error system_error(const std::string& path) {
    const Errc code = errno == ENOENT || errno == ENXIO || errno == ENOTDIR ? Errc::not_found
                      : errno == EBUSY                                      ? Errc::busy
                                                                            : Errc::io_error;
    return {code, fmt::format("{}: {}", path, std::strerror(errno))};
}

struct OpenFile {
    UniqueFd fd;
    Sectors size{};
    bool block_device = false;
};

// Alone, a block device is opened O_EXCL too, which fails while it is mounted or part of another.
// For use it is not: the pools of a group share their physical volumes, from several processes.
Result<OpenFile> open_file(const std::string& path, int flags, LockKind lock) {
    std::error_code unknown;
    if (lock == LockKind::exclusive && std::filesystem::is_block_file(path, unknown))
        flags |= O_EXCL;
    OpenFile file;
    file.fd = UniqueFd(::open(path.c_str(), flags | O_CLOEXEC));
    if (!file.fd && errno == EBUSY)
        return Error(Errc::busy, path + ": it is mounted, or in use by something else");
    if (!file.fd) return system_error(path);
    struct stat st{};
    if (::fstat(file.fd.get(), &st) != 0) return system_error(path);
    if (S_ISBLK(st.st_mode)) {
        std::uint64_t bytes = 0;
        if (::ioctl(file.fd.get(), BLKGETSIZE64, &bytes) != 0) return system_error(path);
        file.size = Sectors(bytes / sector_bytes);
        file.block_device = true;
    } else if (S_ISREG(st.st_mode)) {
        file.size = Sectors(static_cast<std::uint64_t>(st.st_size) / sector_bytes);
    } else {
        return Error(Errc::invalid_argument,
                     fmt::format("{} is neither a regular file nor a block device", path));
    }
    return file;
}

// What O_DIRECT wants offsets and lengths to be multiples of; nothing where it is not to be used.
std::optional<Sectors> direct_granule(const std::string& path, const OpenFile& file) {
    struct statfs fs{};
    if (::fstatfs(file.fd.get(), &fs) != 0) return std::nullopt;
    if (!file.block_device && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
        return std::nullopt;
    int block_size = 0;
    if (file.block_device && ::ioctl(file.fd.get(), BLKSSZGET, &block_size) == 0)
        return to_sectors(Bytes(static_cast<unsigned>(block_size)));
    struct statx stat{};
    if (::statx(file.fd.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &stat) == 0 &&
        (stat.stx_mask & STATX_DIOALIGN) != 0) {
        if (stat.stx_dio_offset_align == 0 || stat.stx_dio_offset_align > 4096) return std::nullopt;
        return to_sectors(Bytes(std::max<std::uint32_t>(stat.stx_dio_offset_align, sector_bytes)));
    }
    // An older kernel does not say: 4096 suits every disk.
    const UniqueFd direct(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    return direct ? std::optional(Sectors(8)) : std::nullopt;
}

// Two copies of a state directory have locks of their own; their pools' physical volumes are the
// same. An owner that was killed may need a moment to let go.
Result<> lock_for_pool(int fd, const UuidBytes& pool) {
    constexpr std::uint64_t bytes = 1ULL << 62;  // beyond the first, all that a lock can be on
    constexpr auto patience = std::chrono::seconds(3);
    std::uint64_t number = 0;
    std::memcpy(&number, pool.data(), sizeof number);
    const auto end = std::chrono::steady_clock::now() + patience;
    for (;;) {
        auto locked = lock_byte(fd, LockKind::exclusive, 1 + number % bytes);
        if (locked || locked.error().code != Errc::busy || std::chrono::steady_clock::now() > end)
            return locked;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::string probe_signature(int fd) {
    blkid_probe probe = blkid_new_probe();
    if (probe == nullptr) return "";
    std::string found;
    if (blkid_probe_set_device(probe, fd, 0, 0) == 0) {
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
        blkid_probe_enable_partitions(probe, 1);
        const char* value = nullptr;
        if (blkid_do_safeprobe(probe) != 1 &&
            (blkid_probe_lookup_value(probe, "TYPE", &value, nullptr) == 0 ||
             blkid_probe_lookup_value(probe, "PTTYPE", &value, nullptr) == 0)) {
            found = value;
        }
    }
    blkid_free_probe(probe);
    return found;
}

class FileOpener : public PvOpener {
public:
    Result<Opened> open(const std::string& path, const How& how) override {
        auto file =
            TRY(open_file(path, O_RDWR | (how.mode == IoMode::direct ? O_DIRECT : 0), how.lock));
        if (auto locked = lock_first_byte(file.fd.get(), how.lock); !locked)
            return std::move(locked).error().prefixed(path);
        FileOptions options;
        options.direct = how.mode == IoMode::direct;
        options.size = file.size;
        options.ring = how.ring;
        options.unflushed = how.unflushed;
        if (options.direct) options.granule = direct_granule(path, file).value_or(Sectors(8));
        const int fd = file.fd.get();
        const bool block_device = file.block_device;
        auto queue = std::make_unique<FileQueue>(std::move(file.fd), path, options);
        FileQueue* raw = queue.get();
        Opened opened;
        opened.queue = std::move(queue);
        opened.allocate = [fd, block_device, path](Sector at, Sectors length) -> Result<> {
            if (block_device) return {};
            const int error = ::posix_fallocate(fd, static_cast<off_t>(to_bytes(at).n),
                                                static_cast<off_t>(to_bytes(length).n));
            if (error == 0 || error == EOPNOTSUPP) return {};
            return Error(
                error == ENOSPC || error == EDQUOT ? Errc::out_of_space : Errc::io_error,
                fmt::format("{}: allocating {}: {}", path, to_bytes(length), std::strerror(error)));
        };
        opened.flushes = [raw] { return raw->flushes(); };
        opened.sibling = [raw](Ring* ring) -> Result<std::unique_ptr<BlockQueue>> {
            return std::unique_ptr<BlockQueue>(TRY(raw->sibling(ring)));
        };
        opened.claim = [fd, path](const UuidBytes& pool) -> Result<> {
            if (lock_for_pool(fd, pool)) return {};
            return Error(Errc::busy, fmt::format("{}: a process of another copy of this state "
                                                 "directory has the pool open",
                                                 path));
        };
        opened.grow = [raw](Sectors size) { raw->grow(size); };
        return opened;
    }

    Result<PvCandidate> examine(const std::string& path) override {
        char* resolved = ::realpath(path.c_str(), nullptr);
        if (resolved == nullptr) return system_error(path);
        PvCandidate candidate;
        candidate.path = resolved;
        std::free(resolved);
        auto file = TRY(open_file(candidate.path, O_RDWR, LockKind::exclusive));
        candidate.size = file.size;
        candidate.io_mode =
            direct_granule(candidate.path, file) ? IoMode::direct : IoMode::buffered;
        if (auto locked = lock_first_byte(file.fd.get(), LockKind::exclusive); !locked)
            return std::move(locked).error().prefixed(candidate.path);
        candidate.signature = probe_signature(file.fd.get());
        FileQueue queue(std::move(file.fd), candidate.path, {.size = candidate.size});
        if (auto label = read_label(queue)) candidate.label = std::move(*label);
        else if (label.error().code != Errc::not_found)
            candidate.signature = "damaged thinvol physical volume";
        return candidate;
    }
};

}  // namespace

PvOpener& file_opener() {
    static FileOpener opener;
    return opener;
}

Result<PvOpener::Opened> open_pv(PvOpener& opener, const PvRow& row,
                                 const std::string& environment_uuid, Ring* ring, bool unflushed) {
    auto opened =
        TRY(within("physical volume",
                   opener.open(row.path, {row.io_mode, LockKind::shared, ring, unflushed})));
    const auto complain = [&](std::string_view what) {
        return Error(Errc::corrupt, fmt::format("physical volume {}: {}", row.path, what));
    };
    if (opened.queue->size() < row.size) {
        return complain(
            fmt::format("it has {} sectors, its group knows it with {}: it was truncated",
                        opened.queue->size(), row.size));
    }
    auto label = read_label(*opened.queue);
    if (!label) return complain(label.error().text);
    if (uuid_text(label->pv) != row.uuid) {
        return complain(
            fmt::format("its label says it is {} of group \"{}\", the catalog expects {}",
                        uuid_text(label->pv), label->group_name, row.uuid));
    }
    if (uuid_text(label->environment) != environment_uuid) {
        return Error(Errc::invalid_argument,
                     fmt::format("physical volume {} belongs to another environment, {}", row.path,
                                 uuid_text(label->environment)));
    }
    opened.label = std::move(*label);
    return opened;
}

}  // namespace thinvol
