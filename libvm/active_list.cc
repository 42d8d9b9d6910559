#include "libvm/active_list.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace thinvol {

Result<> write_active_list(const std::filesystem::path& path,
                           const std::vector<std::int64_t>& ids) {
    const std::filesystem::path next = path.string() + ".new";
    {
        std::ofstream out(next, std::ios::trunc);
        for (const std::int64_t id : ids) out << id << '\n';
        if (!out.flush())
            return Error(Errc::io_error,
                         fmt::format("{}: {}", next.string(), std::strerror(errno)));
    }
    std::error_code error;
    std::filesystem::rename(next, path, error);
    if (error) return Error(Errc::io_error, fmt::format("{}: {}", path.string(), error.message()));
    return {};
}

std::vector<std::int64_t> read_active_list(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::vector<std::int64_t> ids;
    for (std::int64_t id = 0; in >> id;) ids.push_back(id);
    return ids;
}

}  // namespace thinvol
