#include "libvm/device_links.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <vector>

namespace thinvol {

namespace fs = std::filesystem;

Result<> make_device_link(const fs::path& link, const std::string& node) {
    std::error_code error;
    fs::create_directories(link.parent_path(), error);
    const fs::path next = link.string() + ".new";
    fs::remove(next, error);
    error.clear();
    fs::create_symlink(node, next, error);
    if (!error) fs::rename(next, link, error);
    if (error)
        return Error(Errc::io_error,
                     fmt::format("making link {}: {}", link.string(), error.message()));
    return {};
}

void remove_device_link(const fs::path& link) {
    std::error_code ignored;
    fs::remove(link, ignored);
    fs::remove(link.parent_path(), ignored);  // fails where anything is left
    fs::remove(link.parent_path().parent_path(), ignored);
}

void remove_device_links_to(const fs::path& directory, const std::string& node) {
    std::error_code error;
    std::vector<fs::path> links;
    for (fs::directory_iterator group(directory, error), end; !error && group != end;
         group.increment(error)) {
        std::error_code inner;
        for (fs::directory_iterator link(group->path(), inner), last; !inner && link != last;
             link.increment(inner)) {
            std::error_code none;
            if (fs::read_symlink(link->path(), none) == node) links.push_back(link->path());
        }
    }
    for (const fs::path& link : links) remove_device_link(link);
}

}  // namespace thinvol
