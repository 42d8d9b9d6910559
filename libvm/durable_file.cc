#include "libvm/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/base/unique_fd.h"

namespace thinvol {
namespace {

Error failed(const std::string& path) {
    const Errc code = errno == ENOSPC || errno == EDQUOT ? Errc::out_of_space
                      : errno == ENOENT                  ? Errc::not_found
                                                         : Errc::io_error;
    return {code, fmt::format("{}: {}", path, std::strerror(errno))};
}

Result<> write_durably(const std::string& fresh, const std::string& path, std::string_view text) {
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return failed(path);
    while (!text.empty()) {
        const ssize_t n = ::write(fd.get(), text.data(), text.size());
        if (n < 0 && errno != EINTR) return failed(path);
        if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(fd.get()) != 0) return failed(path);
    return {};
}

}  // namespace

Result<> replace_file(const std::string& path, std::string_view text) {
    const std::string fresh = fmt::format("{}.{}.new", path, ::getpid());
    auto written = write_durably(fresh, path, text);
    if (written && ::rename(fresh.c_str(), path.c_str()) != 0) written = failed(path);
    if (!written) {
        ::unlink(fresh.c_str());
        return written;
    }
    const std::string parent = std::filesystem::absolute(path).parent_path().string();
    const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) return failed(parent);
    return {};
}

}  // namespace thinvol
