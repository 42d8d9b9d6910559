// resize: what tvextend, tvreduce and tvresize have in common.
//
// Units       extents
// Invariants  none
// Errors      reported; the exit status is returned
// Threads     one
// Source      lvresize(8)
#pragma once

#include "commands/invocation.h"

namespace thinvol {

enum class ResizeDirection { grow, shrink, either };
int resize(Invocation& call, ResizeDirection direction);

}  // namespace thinvol
