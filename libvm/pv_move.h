// pv_move: extents moved from one physical volume to others, piece by piece, as a job that can be
// stopped and taken up again.
//
// A piece is reserved on its new place (a segment of no volume), copied, flushed, and then changes
// hands in one catalog transaction. What was moved stays moved, whatever happens to the job.
//
// Units       extents of the group
// Invariants  (1) a pool's lock is held while a piece of it is copied, and for no longer: about a
//                 tenth of a second
//             (2) the old place is not reused before the catalog, and the group's log, name the new
//             (3) one process at a time moves in a group
// Errors      busy: a pool is active, or another process moves; out_of_space; not_found: no job
// Threads     one
// Source      pvmove(8)
#pragma once

#include "libvm/pv_lifecycle.h"

namespace thinvol {

struct MoveProgress {
    std::string source;
    Extents moved{};
    Extents total{};
};
// false: stop here; the job stays.
using OnMoved = std::function<bool(const MoveProgress&)>;

struct MoveJob {
    std::int64_t id = 0;
    GroupRow group;
    std::string source;                // UUID of the physical volume
    std::vector<std::string> targets;  // empty: all others
    std::string pool;                  // name; empty: all volumes
};

// Records the job; the same one again is the one that was interrupted, another one of the same
// physical volume is `exists`.
Result<MoveJob> begin_move(Session& session, const PvRow& source, const std::vector<PvRow>& targets,
                           const std::string& pool);
Result<std::vector<MoveJob>> moves(Session& session);
// Goes on until everything is moved, the job was aborted, or `on_moved` says no; true: all of it.
Result<bool> carry_on_move(Session& session, const MoveJob& job, const OnMoved& on_moved);
// Drops the places that a killed move had taken for a piece; whether and when it goes on is its own
// business.
Result<> drop_stale_reservations(Session& session, const GroupRow& group);
// What was moved stays.
Result<> abort_move(Session& session, const MoveJob& job);

}  // namespace thinvol
