#include "libvm/catalog_vfs.h"

#include <sqlite3.h>
#include <unistd.h>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

sqlite3_vfs* base() {
    static sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
    return vfs;
}

int open_file(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out_flags) {
    const bool existing_wal =
        (flags & SQLITE_OPEN_WAL) != 0 && path != nullptr && ::access(path, F_OK) == 0;
    return base()->xOpen(base(), path, file, existing_wal ? flags & ~SQLITE_OPEN_CREATE : flags,
                         out_flags);
}

}  // namespace

const char* catalog_vfs() {
    static sqlite3_vfs vfs = [] {
        sqlite3_vfs copy = *base();
        copy.zName = "thinvol";
        copy.xOpen = open_file;
        copy.pNext = nullptr;
        return copy;
    }();
    static const int registered = sqlite3_vfs_register(&vfs, 0);
    ASSERT(registered == SQLITE_OK);
    return vfs.zName;
}

}  // namespace thinvol
