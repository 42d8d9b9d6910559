#include "libvm/external_origin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "engine/file_queue.h"
#include "libvm/file_lock.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

struct OpenOrigin {
    UniqueFd fd;
    Bytes size{};
};

Result<OpenOrigin> open_read_only(const std::string& path) {
    OpenOrigin origin;
    origin.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st{};
    if (!origin.fd || ::fstat(origin.fd.get(), &st) != 0)
        return Error(errno == ENOENT ? Errc::not_found : Errc::io_error,
                     fmt::format("external origin {}: {}", path, std::strerror(errno)));
    if (S_ISBLK(st.st_mode)) {
        if (::ioctl(origin.fd.get(), BLKGETSIZE64, &origin.size.n) != 0)
            return Error(Errc::io_error,
                         fmt::format("external origin {}: {}", path, std::strerror(errno)));
    } else if (S_ISREG(st.st_mode)) {
        origin.size = Bytes(static_cast<std::uint64_t>(st.st_size));
    } else {
        return Error(Errc::invalid_argument,
                     fmt::format("external origin {} is neither a file nor a block device", path));
    }
    if (origin.size.n == 0 || origin.size.n % sector_bytes != 0)
        return Error(Errc::invalid_argument,
                     fmt::format("external origin {} has {} bytes, which is no whole number of "
                                 "sectors of {}",
                                 path, origin.size.n, sector_bytes));
    TRY(within(path, lock_first_byte(origin.fd.get(), LockKind::shared)));
    return origin;
}

}  // namespace

Result<ExternalOrigin> find_external_origin(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr),
                                                               &std::free);
    if (resolved == nullptr)
        return Error(Errc::not_found,
                     fmt::format("external origin {}: {}", path, std::strerror(errno)));
    return ExternalOrigin{resolved.get(), TRY(open_read_only(resolved.get())).size};
}

std::string to_text(const ExternalOrigin& origin) {
    return fmt::format("{} {}", origin.size.n, origin.path);
}

Result<ExternalOrigin> parse_external_origin(const std::string& text) {
    const std::size_t space = text.find(' ');
    const auto size = parse_number(std::string_view(text).substr(0, space));
    if (!size || space == std::string::npos)
        return Error(Errc::corrupt, fmt::format("catalog: external origin \"{}\"", text));
    return ExternalOrigin{text.substr(space + 1), Bytes(*size)};
}

Result<std::unique_ptr<BlockQueue>> open_external_origin(const std::string& text) {
    const ExternalOrigin wanted = TRY(parse_external_origin(text));
    OpenOrigin origin = TRY(open_read_only(wanted.path));
    if (origin.size != wanted.size)
        return Error(Errc::corrupt,
                     fmt::format("external origin {} has {} bytes, and had {} when the volume was "
                                 "made: it must not change; bring the right one back",
                                 wanted.path, origin.size.n, wanted.size.n));
    const FileOptions options{.size = to_sectors(origin.size), .unflushed = false};
    return std::make_unique<FileQueue>(std::move(origin.fd), wanted.path, options);
}

}  // namespace thinvol
