#include "libvm/device_links.h"

#include <fmt/format.h>

#include <fstream>
#include <vector>

#include "libvm/durable_file.h"
#include "libvm/program.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;

void have_udev_look(const std::string& node) {
    const fs::path device = fs::path("/sys/class/block") / fs::path(node).filename();
    std::ofstream(device / "uevent") << "change";
}

// systemd/60-thinvol.rules reads it.
Result<> write_name(const Environment& environment, const fs::path& link, const std::string& node) {
    const fs::path file = environment.device_name(node);
    TRY(make_private_directory(file.parent_path()));
    const std::string name = link.lexically_relative(environment.device_dir).string();
    return replace_file(file, fmt::format("THINVOL_NAME={}\n", name));
}

// Those of all groups; by its name alone: udev makes links relative.
std::vector<fs::path> links_to(const fs::path& directory, const std::string& node) {
    std::error_code error;
    std::vector<fs::path> links;
    for (fs::directory_iterator group(directory, error), end; !error && group != end;
         group.increment(error)) {
        std::error_code inner;
        for (fs::directory_iterator link(group->path(), inner), last; !inner && link != last;
             link.increment(inner)) {
            std::error_code none;
            if (fs::read_symlink(link->path(), none).filename() == fs::path(node).filename())
                links.push_back(link->path());
        }
    }
    return links;
}

}  // namespace

Result<> make_device_link(const Environment& environment, const fs::path& link,
                          const std::string& node) {
    TRY(write_name(environment, link, node));
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
    have_udev_look(node);
    return {};
}

void remove_device_link(const fs::path& link) {
    std::error_code ignored;
    fs::remove(link, ignored);
    fs::remove(link.parent_path(), ignored);  // fails where anything is left
    fs::remove(link.parent_path().parent_path(), ignored);
}

void forget_device(const Environment& environment, const std::string& node) {
    std::error_code ignored;
    fs::remove(environment.device_name(node), ignored);
    for (const fs::path& link : links_to(environment.device_dir, node)) remove_device_link(link);
    have_udev_look(node);  // a kernel's NBD device is there without a server too
}

void wait_for_udev() {
    if (!fs::exists("/run/udev/control")) return;
    constexpr std::chrono::seconds patience(5);
    ignore(run_program({{"udevadm", "settle", fmt::format("--timeout={}", patience.count())}},
                       patience * 2),
           "its links are late, not wrong");
}

}  // namespace thinvol
