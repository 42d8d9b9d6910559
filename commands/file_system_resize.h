// file_system_resize: a volume resized together with the file system that is on it.
//
// Units       bytes
// Invariants  (1) what cannot be is refused before anything is changed
//             (2) at every moment the file system fits into its volume
// Errors      as FileSystem and BorrowedDevice; of a step that fails later, what was done by then
// Threads     one
// Source      lvresize(8), --resizefs
#pragma once

#include "commands/invocation.h"
#include "commands/lookup.h"

namespace thinvol {

// The volume's new size may be the one it has: then only the file system follows.
Result<VolumeResult> resize_with_file_system(Session& session, const FoundThin& found, Bytes size);

}  // namespace thinvol
