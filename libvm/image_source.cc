#include "libvm/image_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace thinvol {
namespace {

constexpr int look_again_ms = 100;

Error system_error(const std::string& path) {
    return {errno == ENOENT ? Errc::not_found : Errc::io_error,
            fmt::format("{}: {}", path, std::strerror(errno))};
}

ByteOffset round_down(std::uint64_t at, Bytes unit) { return ByteOffset(at - at % unit.n); }

class FileSource : public ImageSource {
public:
    FileSource(UniqueFd fd, std::string path, Bytes size)
        : fd_(std::move(fd)), path_(std::move(path)), size_(size) {
        ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    std::optional<Bytes> size() const override { return size_; }

    Result<Bytes> read(ByteOffset& at, std::span<std::byte> into, Bytes unit) override {
        if (at.n >= size_.n) return Bytes(0);
        const off_t data = ::lseek(fd_.get(), static_cast<off_t>(at.n), SEEK_DATA);
        if (data < 0 && errno == ENXIO) return Bytes(0);
        // Where holes are not told, all of it is data.
        if (data >= 0) at = std::max(at, round_down(static_cast<std::uint64_t>(data), unit));
        const std::size_t wanted = std::min<std::uint64_t>(into.size(), size_.n - at.n);
        for (std::size_t done = 0; done < wanted;) {
            const ssize_t n = ::pread(fd_.get(), into.data() + done, wanted - done,
                                      static_cast<off_t>(at.n + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return system_error(path_);
            if (n == 0)
                return Error(Errc::io_error,
                             fmt::format("{} became shorter than {} bytes", path_, size_));
            done += static_cast<std::size_t>(n);
        }
        return Bytes(wanted);
    }

private:
    UniqueFd fd_;
    std::string path_;
    Bytes size_;
};

class PipeSource : public ImageSource {
public:
    PipeSource(UniqueFd fd, std::string path, Interrupted interrupted)
        : fd_(std::move(fd)), path_(std::move(path)), interrupted_(std::move(interrupted)) {}
    std::optional<Bytes> size() const override { return std::nullopt; }

    Result<Bytes> read(ByteOffset&, std::span<std::byte> into, Bytes) override {
        std::size_t done = 0;
        while (done < into.size()) {
            pollfd ready{fd_.get(), POLLIN, 0};
            if (interrupted_()) return interrupted_error();
            if (::poll(&ready, 1, look_again_ms) <= 0) continue;
            const ssize_t n = ::read(fd_.get(), into.data() + done, into.size() - done);
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (n < 0) return system_error(path_);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return Bytes(done);
    }

private:
    UniqueFd fd_;
    std::string path_;
    Interrupted interrupted_;
};

class QemuSource : public ImageSource {
public:
    explicit QemuSource(std::unique_ptr<QemuImage> image) : image_(std::move(image)) {}
    std::optional<Bytes> size() const override { return image_->nbd().size(); }

    Result<Bytes> read(ByteOffset& at, std::span<std::byte> into, Bytes unit) override {
        const Bytes size = image_->nbd().size();
        std::uint64_t pos = at.n;
        while (pos >= data_until_ && pos < size.n) {
            const auto extent = TRY(image_->nbd().extent(ByteOffset(pos), Bytes(size.n - pos)));
            if (extent.zero) pos += extent.length.n;
            else data_until_ = pos + extent.length.n;
        }
        if (pos >= size.n) return Bytes(0);
        at = std::max(at, round_down(pos, unit));
        const std::size_t wanted = std::min<std::uint64_t>(into.size(), size.n - at.n);
        TRY(image_->nbd().read(in_requests(at, into.first(wanted))));
        return Bytes(wanted);
    }

private:
    std::unique_ptr<QemuImage> image_;
    std::uint64_t data_until_ = 0;  // what is before is not asked about again
};

}  // namespace

Error interrupted_error() { return {Errc::busy, "interrupted"}; }

Result<std::unique_ptr<ImageSource>> ImageSource::open_raw(const std::string& path,
                                                           Interrupted interrupted) {
    const bool standard = path == "-";
    const std::string name = standard ? "standard input" : path;
    UniqueFd fd(standard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                         : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0) return system_error(name);
    if (S_ISDIR(st.st_mode))
        return Error(Errc::invalid_argument, fmt::format("{} is a directory", name));
    if (standard || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
        return std::make_unique<PipeSource>(std::move(fd), name, std::move(interrupted));
    std::uint64_t size = static_cast<std::uint64_t>(st.st_size);
    if (S_ISBLK(st.st_mode) && ::ioctl(fd.get(), BLKGETSIZE64, &size) != 0)
        return system_error(name);
    return std::make_unique<FileSource>(std::move(fd), name, Bytes(size));
}

std::unique_ptr<ImageSource> ImageSource::of(std::unique_ptr<QemuImage> image) {
    return std::make_unique<QemuSource>(std::move(image));
}

}  // namespace thinvol
