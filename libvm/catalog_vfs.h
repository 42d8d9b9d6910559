// catalog_vfs: SQLite's own file access, but for one flush that is not needed.
//
// SQLite flushes the directory the first time a process commits to a WAL file that it opened with
// leave to create it, even if the file was there before. Whoever did create it has flushed the
// directory then; so an existing one is opened without that leave.
//
// Units       none
// Invariants  otherwise SQLite's default VFS
// Errors      SQLite's
// Threads     any
// Source      sqlite.org, "The SQLite OS Interface"
#pragma once

namespace thinvol {

// Registers the VFS, once, and gives its name.
const char* catalog_vfs();

}  // namespace thinvol
