#include "libvm/image_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/base/unique_fd.h"
#include "libvm/qemu_image.h"

namespace thinvol {
namespace {

Error system_error(const std::string& path) {
    const Errc code = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? Errc::out_of_space
                      : errno == ENOENT                                    ? Errc::not_found
                                                                           : Errc::io_error;
    return {code, fmt::format("{}: {}", path, std::strerror(errno))};
}

// A file beside the one that is wanted, until it is whole.
class FreshFile {
public:
    explicit FreshFile(std::string path)
        : path_(std::move(path)), fresh_(fmt::format("{}.{}.new", path_, ::getpid())) {}
    ~FreshFile() {
        if (!kept_) ::unlink(fresh_.c_str());
    }
    FreshFile(const FreshFile&) = delete;
    FreshFile& operator=(const FreshFile&) = delete;
    const std::string& name() const { return fresh_; }
    const std::string& wanted() const { return path_; }

    Result<> keep(int fd) {
        if (::fsync(fd) != 0) return system_error(path_);
        if (::rename(fresh_.c_str(), path_.c_str()) != 0) return system_error(path_);
        kept_ = true;
        const std::string parent = std::filesystem::absolute(path_).parent_path().string();
        const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!directory || ::fsync(directory.get()) != 0) return system_error(parent);
        return {};
    }

private:
    std::string path_;
    std::string fresh_;
    bool kept_ = false;
};

class FileTarget : public ImageTarget {
public:
    explicit FileTarget(std::string path) : file_(std::move(path)) {}
    Result<> open(Bytes size) {
        fd_ = UniqueFd(::open(file_.name().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size.n)) != 0)
            return system_error(file_.wanted());
        return {};
    }
    Result<> write(ByteOffset at, std::span<std::byte> bytes) override {
        for (std::size_t done = 0; done < bytes.size();) {
            const ssize_t n = ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                                       static_cast<off_t>(at.n + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return system_error(file_.wanted());
            done += static_cast<std::size_t>(n);
        }
        // On its way to the disk while more comes, so that the end has little to wait for.
        ::sync_file_range(fd_.get(), static_cast<off_t>(at.n), static_cast<off_t>(bytes.size()),
                          SYNC_FILE_RANGE_WRITE);
        return {};
    }
    Result<> finish() override { return file_.keep(fd_.get()); }

private:
    FreshFile file_;
    UniqueFd fd_;
};

class PipeTarget : public ImageTarget {
public:
    PipeTarget(UniqueFd fd, std::string path, Bytes size)
        : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}
    Result<> write(ByteOffset at, std::span<std::byte> bytes) override {
        TRY(write_zeroes_until(at.n));
        TRY(write_all(bytes));
        at_ += bytes.size();
        return {};
    }
    Result<> finish() override { return write_zeroes_until(size_.n); }

private:
    Result<> write_zeroes_until(std::uint64_t end) {
        static constexpr std::array<std::byte, 65536> zeroes{};
        while (at_ < end) {
            const std::size_t n = std::min<std::uint64_t>(zeroes.size(), end - at_);
            TRY(write_all(std::span(zeroes).first(n)));
            at_ += n;
        }
        return {};
    }
    Result<> write_all(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return system_error(path_);
            bytes = bytes.subspan(static_cast<std::size_t>(n));
        }
        return {};
    }
    UniqueFd fd_;
    std::string path_;
    Bytes size_;
    std::uint64_t at_ = 0;
};

class QemuTarget : public ImageTarget {
public:
    explicit QemuTarget(std::string path) : file_(std::move(path)) {}
    Result<> open(const std::string& format, Bytes size) {
        image_ = TRY(QemuImage::create(file_.name(), format, size));
        return {};
    }
    Result<> write(ByteOffset at, std::span<std::byte> bytes) override {
        return image_->nbd().write(in_requests(at, bytes));
    }
    Result<> finish() override {
        TRY(image_->nbd().flush());
        TRY(image_->close());
        const UniqueFd fd(::open(file_.name().c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd) return system_error(file_.name());
        return file_.keep(fd.get());
    }

private:
    FreshFile file_;
    std::unique_ptr<QemuImage> image_;  // ended before the file goes
};

}  // namespace

Result<std::unique_ptr<ImageTarget>> ImageTarget::open(const Wanted& wanted) {
    if (wanted.path == "-") {
        return std::make_unique<PipeTarget>(UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)),
                                            "standard output", wanted.size);
    }
    // Through links: what they lead to is replaced, not they.
    std::error_code error;
    const auto resolved = std::filesystem::weakly_canonical(wanted.path, error);
    const std::string path = error ? wanted.path : resolved.string();
    struct stat st{};
    const bool there = ::stat(path.c_str(), &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return Error(Errc::invalid_argument, fmt::format("{} is a directory", wanted.path));
    if (there && S_ISBLK(st.st_mode))
        return Error(Errc::invalid_argument,
                     fmt::format("{} is a block device; to overwrite it, write to standard output "
                                 "(-) and that to the device",
                                 wanted.path));
    if (there && !S_ISREG(st.st_mode)) {
        if (wanted.format != "raw")
            return Error(Errc::invalid_argument,
                         fmt::format("{} is no file: only raw can be written there", wanted.path));
        UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!fd) return system_error(wanted.path);
        return std::make_unique<PipeTarget>(std::move(fd), wanted.path, wanted.size);
    }
    if (there && !wanted.replace) return Error(Errc::exists, fmt::format("{} exists", wanted.path));
    if (wanted.format == "raw") {
        auto target = std::make_unique<FileTarget>(path);
        TRY(target->open(wanted.size));
        return target;
    }
    auto target = std::make_unique<QemuTarget>(path);
    TRY(target->open(wanted.format, wanted.size));
    return target;
}

}  // namespace thinvol
