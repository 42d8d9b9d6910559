// pv_move: extents moved from one physical volume to others, piece by piece, as a job that can be
// stopped and taken up again.
//
// A pool that is in use moves its pieces by itself, when asked (served_move.h); this process moves
// those of a pool that is not, and of the spare. What was moved stays moved, whatever happens to
// the job.
//
// Units       extents of the group
// Invariants  (1) the lock of a pool that is not in use is held while a piece of it is copied, and
//                 for no longer: about a tenth of a second
//             (2) one process at a time moves in a group
// Errors      busy: another process moves, or holds a pool for long; out_of_space
// Threads     one
// Source      pvmove(8)
#pragma once

#include "libvm/move_piece.h"
#include "libvm/pv_lifecycle.h"

namespace thinvol {

struct MoveProgress {
    std::string source;
    Extents moved{};
    Extents total{};
};
// false: stop here; the job stays.
using OnMoved = std::function<bool(const MoveProgress&)>;

// Records the job; the same one again is the one that was interrupted, another one of the same
// physical volume is `exists`.
Result<MoveJob> begin_move(Session& session, const PvRow& source, const std::vector<PvRow>& targets,
                           const std::string& pool);
// Goes on until everything is moved, the job was aborted, or `on_moved` says no; true: all of it.
Result<bool> carry_on_move(Session& session, const MoveJob& job, const OnMoved& on_moved);
// What was moved stays.
Result<> abort_move(Session& session, const MoveJob& job);

}  // namespace thinvol
