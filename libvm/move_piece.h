// move_piece: what the catalog says about extents that move, piece by piece.
//
// A piece has its new place reserved (a segment of no volume), is copied and flushed by whoever
// holds the pool, and changes hands in one catalog transaction, in which its old place becomes a
// reservation of that kind. That one is dropped when the group's log names the new place and no
// request is under way to the old one any more.
//
// Units       extents of the group
// Invariants  (1) whoever works at a piece holds the group's piece lock, from reserve_piece() until
//                 nothing uses the place given up: reservations of others than its holder are left
//                 over, and anybody who has the lock drops them
//             (2) the old place is not reused before the catalog, and the group's log, name the new
// Errors      as the catalog's; out_of_space; busy: somebody works at a piece
// Threads     the session's
// Source      pvmove(8)
#pragma once

#include "libvm/file_lock.h"
#include "libvm/session.h"

namespace thinvol {

struct MoveJob {
    std::int64_t id = 0;
    GroupRow group;
    std::string source;                // UUID of the physical volume
    std::vector<std::string> targets;  // empty: all others
    std::string pool;                  // name; empty: all volumes
};
struct MovePiece {
    SegmentRow from;  // the segment that it is the begin of
    SegmentRow target;
};

Result<std::vector<MoveJob>> move_jobs(Session& session);
// Nothing once it has ended.
Result<std::optional<MoveJob>> find_move_job(Session& session, std::int64_t id);
std::string detail_of(const MoveJob& job);
// What is to be moved still, of one volume or (0) of all.
Result<std::vector<SegmentRow>> left_to_move(Session& session, const MoveJob& job,
                                             std::int64_t lv_id = 0);

Result<FileLock> lock_piece(Session& session, const GroupRow& group);
// The first of what is left of the volume, or as much of it as finds room in one place.
Result<std::optional<MovePiece>> reserve_piece(Session& session, const MoveJob& job,
                                               std::int64_t lv_id);
// The piece lies on its new place from here on.
Result<> hand_over(Session& session, const GroupRow& group, const MovePiece& piece);
// Places taken for pieces that nobody works at, or given up by pieces that were handed over.
Result<> drop_reservations(Session& session, const GroupRow& group);
// The same, unless somebody works at a piece now.
Result<> drop_stale_reservations(Session& session, const GroupRow& group);

}  // namespace thinvol
