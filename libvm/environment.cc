#include "libvm/environment.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace thinvol {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

Result<std::filesystem::path> absolute(const char* variable_name, const std::string& value) {
    if (value.front() != '/') {
        return Error(Errc::invalid_argument,
                     fmt::format("{} is '{}', it must be an absolute path", variable_name, value));
    }
    const auto path = std::filesystem::path(value).lexically_normal();
    // With a slash behind it a link would pass for the directory that it leads to.
    return path.has_filename() ? path : path.parent_path();
}

}  // namespace

Result<Environment> Environment::from_process() {
    Environment env;
    if (::geteuid() == 0) {
        env.state_dir = "/var/lib/thinvol";
        env.run_dir = "/run/thinvol";
        env.config_dir = "/etc/thinvol";
    } else {
        const std::string home = variable("HOME");
        const std::string state = variable("XDG_STATE_HOME");
        const std::string config = variable("XDG_CONFIG_HOME");
        const std::string run = variable("XDG_RUNTIME_DIR");
        if (home.empty() && state.empty() && variable("THINVOL_STATE_DIR").empty()) {
            return Error(Errc::invalid_argument,
                         "neither HOME nor XDG_STATE_HOME nor THINVOL_STATE_DIR is set");
        }
        const std::filesystem::path home_dir(home.empty() ? "/" : home);
        env.state_dir =
            (state.empty() ? home_dir / ".local/state" : std::filesystem::path(state)) / "thinvol";
        env.config_dir =
            (config.empty() ? home_dir / ".config" : std::filesystem::path(config)) / "thinvol";
        if (!run.empty()) env.run_dir = std::filesystem::path(run) / "thinvol";
    }
    if (const auto v = variable("THINVOL_STATE_DIR"); !v.empty())
        env.state_dir = TRY(absolute("THINVOL_STATE_DIR", v));
    if (const auto v = variable("THINVOL_RUN_DIR"); !v.empty())
        env.run_dir = TRY(absolute("THINVOL_RUN_DIR", v));
    if (const auto v = variable("THINVOL_CONFIG_DIR"); !v.empty())
        env.config_dir = TRY(absolute("THINVOL_CONFIG_DIR", v));
    if (env.run_dir.empty()) env.run_dir = env.state_dir / "run";
    if (::geteuid() != 0) env.device_dir = env.run_dir / "devices";
    if (const auto v = variable("THINVOL_DEVICE_DIR"); !v.empty())
        env.device_dir = TRY(absolute("THINVOL_DEVICE_DIR", v));
    return env;
}

Result<> make_private_directory(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::exists(path.parent_path(), error))
        std::filesystem::create_directories(path.parent_path(), error);
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return Error(Errc::io_error, fmt::format("cannot make directory {}: {}", path.string(),
                                                 std::strerror(errno)));
    }
    struct stat st{};
    if (::lstat(path.c_str(), &st) != 0) {
        return Error(Errc::io_error,
                     fmt::format("directory {}: {}", path.string(), std::strerror(errno)));
    }
    if (!S_ISDIR(st.st_mode))
        return Error(Errc::invalid_argument, fmt::format("{} is not a directory", path.string()));
    if (st.st_uid != ::geteuid()) {
        return Error(Errc::invalid_argument,
                     fmt::format("directory {} belongs to user {}, not to {}", path.string(),
                                 st.st_uid, ::geteuid()));
    }
    if ((st.st_mode & 022) != 0) {
        return Error(
            Errc::invalid_argument,
            fmt::format("directory {} may be written by others: chmod go-w it", path.string()));
    }
    return {};
}

Result<> check_local_file_system(const std::filesystem::path& path) {
    struct statfs fs{};
    if (::statfs(path.c_str(), &fs) != 0) {
        return Error(Errc::io_error, fmt::format("{}: {}", path.string(), std::strerror(errno)));
    }
    struct Network {
        std::uint32_t magic;
        const char* name;
    };
    static constexpr std::array<Network, 8> network{{{0x6969, "NFS"},
                                                     {0xff534d42, "CIFS"},
                                                     {0xfe534d42, "SMB"},
                                                     {0x01021997, "9p"},
                                                     {0x00c36400, "Ceph"},
                                                     {0x5346414f, "AFS"},
                                                     {0x73757245, "Coda"},
                                                     {0x564c, "NCP"}}};
    const auto found = std::find_if(network.begin(), network.end(), [&](const Network& n) {
        return n.magic == static_cast<std::uint32_t>(fs.f_type);
    });
    if (found == network.end()) return {};
    return Error(
        Errc::invalid_argument,
        fmt::format("{} is on {}, a network file system: the catalog needs a local one; set "
                    "THINVOL_STATE_DIR",
                    path.string(), found->name));
}

}  // namespace thinvol
