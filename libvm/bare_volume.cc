#include "libvm/bare_volume.h"
#include "engine/run_now.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace thinvol {
namespace {

constexpr std::uint64_t chunk_bytes = 1 << 20;
// The farthest that a mapping can be: no volume ends behind that.
constexpr std::uint64_t volume_max = 1ULL << 62;

Error system_error(const char* what) {
    return {Errc::io_error, fmt::format("{}: {}", what, std::strerror(errno))};
}

class OpenVolume {
public:
    static Result<OpenVolume> open(Pool& pool, const VolumeRange& range) {
        if (range.offset.n > volume_max || range.length.n > volume_max - range.offset.n)
            return Error(Errc::invalid_argument, fmt::format("{} bytes at {} are past any volume",
                                                             range.length, range.offset));
        return OpenVolume(pool, *TRY(pool.open_volume(range.id, Bytes(volume_max), false)));
    }
    OpenVolume(OpenVolume&& other) noexcept
        : pool_(other.pool_), volume_(std::exchange(other.volume_, nullptr)) {}
    ~OpenVolume() {
        if (volume_ != nullptr) pool_.close_volume(*volume_);
    }
    Result<> submit(IoKind kind, std::uint64_t at, std::uint64_t length, std::byte* buffer) {
        IoRequest request;
        request.kind = kind;
        request.volume = volume_;
        request.offset = ByteOffset(at);
        request.length = Bytes(length);
        request.buffer = buffer;
        return submit_now(pool_, request);
    }
    Result<> flush() { return submit(IoKind::flush, 0, 0, nullptr); }

private:
    OpenVolume(Pool& pool, Volume& volume) : pool_(pool), volume_(&volume) {}
    Pool& pool_;
    Volume* volume_;
};

// As much as comes, `wanted` at most.
Result<std::uint64_t> fill(int fd, std::vector<std::byte>& buffer) {
    std::uint64_t have = 0;
    while (have < buffer.size()) {
        const ssize_t n = ::read(fd, buffer.data() + have, buffer.size() - have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("standard input");
        if (n == 0) break;
        have += static_cast<std::uint64_t>(n);
    }
    return have;
}

Result<> drain(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("standard output");
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

}  // namespace

Result<> read_volume(Pool& pool, const VolumeRange& range, int to) {
    OpenVolume volume = TRY(OpenVolume::open(pool, range));
    std::vector<std::byte> buffer(std::min(chunk_bytes, range.length.n));
    for (std::uint64_t done = 0; done < range.length.n;) {
        const std::uint64_t n = std::min<std::uint64_t>(buffer.size(), range.length.n - done);
        TRY(volume.submit(IoKind::read, range.offset.n + done, n, buffer.data()));
        TRY(drain(to, std::span(buffer).first(n)));
        done += n;
    }
    return {};
}

Result<> write_volume(Pool& pool, const VolumeRange& range, int from) {
    OpenVolume volume = TRY(OpenVolume::open(pool, range));
    std::vector<std::byte> buffer(chunk_bytes);
    for (std::uint64_t at = range.offset.n;;) {
        const std::uint64_t n = TRY(fill(from, buffer));
        if (n == 0) return volume.flush();
        TRY(volume.submit(IoKind::write, at, n, buffer.data()));
        at += n;
    }
}

Result<> unmap_volume(Pool& pool, const VolumeRange& range, IoKind kind) {
    OpenVolume volume = TRY(OpenVolume::open(pool, range));
    TRY(volume.submit(kind, range.offset.n, range.length.n, nullptr));
    return volume.flush();
}

}  // namespace thinvol
