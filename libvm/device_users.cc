#include "libvm/device_users.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/base/unique_fd.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;

struct Parts {  // the device and its partitions
    std::vector<std::string> numbers;
    std::vector<std::string> nodes;
};

bool contains(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

std::string content_of(const fs::path& path) {
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

std::string line_of(const fs::path& path) {
    std::ifstream in(path);
    std::string line;
    std::getline(in, line);
    return line;
}

Parts parts_of(const std::string& node) {
    const std::string name = fs::path(node).filename().string();
    const fs::path base = fs::path("/sys/class/block") / name;
    Parts parts{{line_of(base / "dev")}, {node}};
    std::error_code error;
    for (fs::directory_iterator it(base, error), end; !error && it != end; it.increment(error)) {
        const std::string part = it->path().filename().string();
        if (!part.starts_with(name)) continue;
        parts.numbers.push_back(line_of(it->path() / "dev"));
        parts.nodes.push_back("/dev/" + part);
    }
    return parts;
}

void add_holders(const Parts& parts, std::vector<std::string>& users) {
    for (const std::string& node : parts.nodes) {
        std::error_code error;
        const fs::path holders =
            fs::path("/sys/class/block") / fs::path(node).filename() / "holders";
        for (fs::directory_iterator it(holders, error), end; !error && it != end;
             it.increment(error))
            users.push_back(fmt::format("held by /dev/{}", it->path().filename().string()));
    }
}

void add_swaps(const Parts& parts, std::vector<std::string>& users) {
    std::ifstream in("/proc/swaps");
    for (std::string line; std::getline(in, line);) {
        if (contains(parts.nodes, line.substr(0, line.find_first_of(" \t"))))
            users.emplace_back("used as swap space");
    }
}

bool has_open(const fs::path& process, const Parts& parts) {
    std::error_code error;
    for (fs::directory_iterator it(process / "fd", error), end; !error && it != end;
         it.increment(error)) {
        struct stat st{};
        if (::stat(it->path().c_str(), &st) != 0 || !S_ISBLK(st.st_mode)) continue;
        if (contains(parts.numbers, fmt::format("{}:{}", ::major(st.st_rdev), ::minor(st.st_rdev))))
            return true;
    }
    return false;
}

void add_processes(const Parts& parts, std::vector<std::string>& users) {
    std::error_code error;
    for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
        const std::string pid = it->path().filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        if (has_open(it->path(), parts))
            users.push_back(
                fmt::format("open in process {} ({})", pid, line_of(it->path() / "comm")));
    }
}

}  // namespace

std::vector<std::string> mount_points_in(const std::string& mountinfo,
                                         const std::vector<std::string>& numbers,
                                         const std::vector<std::string>& nodes) {
    std::vector<std::string> points;
    std::istringstream lines(mountinfo);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::string id, parent, number, root, point, word, type, source;
        fields >> id >> parent >> number >> root >> point;
        while (fields >> word && word != "-") {}
        fields >> type >> source;
        if (contains(numbers, number) || contains(nodes, source)) points.push_back(point);
    }
    return points;
}

std::vector<std::string> file_systems_on(const std::string& node) {
    const Parts parts = parts_of(node);
    std::vector<std::string> points;
    std::vector<dev_t> seen;
    for (const std::string& point :
         mount_points_in(content_of("/proc/self/mountinfo"), parts.numbers, parts.nodes)) {
        struct stat st{};
        if (::stat(point.c_str(), &st) != 0) continue;
        if (std::find(seen.begin(), seen.end(), st.st_dev) != seen.end()) continue;
        seen.push_back(st.st_dev);
        points.push_back(point);
    }
    return points;
}

std::vector<std::string> device_users(const std::string& node) {
    const Parts parts = parts_of(node);
    std::vector<std::string> users;
    for (const std::string& point :
         mount_points_in(content_of("/proc/self/mountinfo"), parts.numbers, parts.nodes))
        users.push_back("mounted on " + point);
    add_holders(parts, users);
    add_swaps(parts, users);
    add_processes(parts, users);
    if (!users.empty()) return users;
    // What cannot be seen from here, such as another mount namespace's, claims it all the same.
    const UniqueFd claimed(::open(node.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (!claimed && errno == EBUSY)
        users.emplace_back("mounted elsewhere, in another mount namespace say");
    return users;
}

}  // namespace thinvol
