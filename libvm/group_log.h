// group_log: brings the logs on a group's physical volumes up to the catalog.
//
// Units       none
// Invariants  (1) runs after the catalog's commit; one process at a time a group, by its log lock
//             (2) a log that is full gets a checkpoint, one that is too small hidden extents
// Errors      io_error and the like of one physical volume; corrupt: the log is ahead of the
//             catalog, so an old catalog was brought back
// Threads     one
// Source      design of the catalog's rebuild: ARCHITECTURE.md
#pragma once

#include "libvm/pv_log.h"
#include "libvm/session.h"

namespace thinvol {

// How many physical volumes of a group keep its log.
inline constexpr std::size_t log_copies = 2;

// And the automatic backup (group_archive.h).
Result<> sync_group_log(Session& session, const GroupRow& group);
// The last change that any log of the group knows; of those that can be read.
Result<std::int64_t> last_logged_change(Session& session, const GroupRow& group);
// The log of one physical volume, as it is.
Result<PvLog> open_group_log(BlockQueue& device, const UuidBytes& group);

}  // namespace thinvol
