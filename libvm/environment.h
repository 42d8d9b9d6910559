// Environment: where one installation of Thinvol keeps its state, and what of the world it may look
// at.
//
// Units       none
// Invariants  (1) two environments with different state directories share nothing, and never one
//                 physical volume
//             (2) each directory is a real directory of this user that nobody else may write to
// Errors      invalid_argument, naming the directory and the way out
// Threads     any; values
// Source      XDG base directory specification; hier(7)
//
// Root uses /var/lib/thinvol and /run/thinvol, others $XDG_STATE_HOME/thinvol and
// $XDG_RUNTIME_DIR/thinvol (or `run` under the former where that is unset). THINVOL_STATE_DIR,
// THINVOL_RUN_DIR, THINVOL_CONFIG_DIR and THINVOL_DEVICE_DIR override.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

struct Environment {
    std::filesystem::path state_dir;  // catalog and locks; on a local file system
    std::filesystem::path run_dir;    // sockets; disposable
    std::filesystem::path config_dir;
    std::filesystem::path lock_dir;                     // empty: `locks` in the state directory
    std::string sqlite_vfs;                             // empty: that of catalog_vfs.h
    std::vector<std::string> config_options{};          // "section.name=value", before all else
    bool rehearsal = false;                             // nothing is to be changed: rehearsal.h
    std::filesystem::path device_dir = "/dev/thinvol";  // links to devices; others: in run_dir

    // From the process's environment variables and user. Creates nothing.
    static Result<Environment> from_process();

    std::filesystem::path catalog_path() const { return state_dir / "catalog.db"; }
    std::filesystem::path lock_path(const std::string& uuid) const {
        return (lock_dir.empty() ? state_dir / "locks" : lock_dir) / uuid;
    }
    std::filesystem::path control_socket(const std::string& pool_uuid) const {
        return run_dir / (pool_uuid + ".ctl");
    }
    // What its server exports (active_list.h).
    std::filesystem::path active_list(const std::string& pool_uuid) const {
        return run_dir / (pool_uuid + ".active");
    }
    std::filesystem::path nbd_socket(const std::string& pool_uuid) const {
        return run_dir / (pool_uuid + ".nbd");
    }
    // To the volume's block device, where it has one.
    std::filesystem::path device_link(const std::string& group, const std::string& volume) const {
        return device_dir / group / volume;
    }
    // What udev's rule reads the name of a block device in (systemd/60-thinvol.rules).
    std::filesystem::path device_name(const std::string& node) const {
        return run_dir / "names" / std::filesystem::path(node).filename();
    }
    bool has_sockets(const std::string& pool_uuid) const {
        std::error_code ignored;
        return std::filesystem::exists(control_socket(pool_uuid), ignored) ||
               std::filesystem::exists(nbd_socket(pool_uuid), ignored);
    }
    // Those of a pool's server that is gone. For who holds the pool's lock.
    void remove_sockets(const std::string& pool_uuid) const {
        std::error_code ignored;
        std::filesystem::remove(control_socket(pool_uuid), ignored);
        std::filesystem::remove(nbd_socket(pool_uuid), ignored);
    }
};

// Makes the directory, with parents, private to this user, and checks (2).
Result<> make_private_directory(const std::filesystem::path& path);
// Refuses a directory on a network file system: SQLite and locks do not work there.
Result<> check_local_file_system(const std::filesystem::path& path);

}  // namespace thinvol
