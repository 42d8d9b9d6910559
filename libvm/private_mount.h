// private_mount: a file system mounted for a moment, seen by nobody but the program that needs it.
//
// Units       none
// Invariants  it ends with the process that it is made in, which is a child of this one
// Errors      io_error: the device and the cause; of the program: as run_to_success()
// Threads     one, and no other in the process: the child goes on without an exec
// Source      mount_namespaces(7)
#pragma once

#include <filesystem>
#include <string>

#include "libvm/environment.h"
#include "libvm/program.h"

namespace thinvol {

struct PrivateMount {
    std::string node, type, options;
    std::filesystem::path place;  // made if it is not there
};
inline std::filesystem::path mount_place(const Environment& environment) {
    return environment.run_dir / "mounted";
}
// Mounted, which recovers it; the program run, if there is one; unmounted.
Result<> in_private_mount(const PrivateMount& what, const Program& program = {});

}  // namespace thinvol
