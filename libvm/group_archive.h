// group_archive: what a group's rows were before each change, in files below the state directory.
//
// A file holds every row, then the changes since, each step ended by a line with its number and
// time: {"at":117,"time":1700000000}. The same text is what tvgcfgbackup writes.
//
// Units       changes by their number in the catalog's vg_log; seconds since 1970
// Invariants  (1) never flushed: the catalog and the physical volumes' logs are what survives a
//                 power cut; this is for mistakes, and must cost a change no flush
//             (2) a step that is torn or missing ends its file; the next one begins another
//             (3) bounded: a file by the size of its rows, files in number and age
// Errors      io_error, out_of_space: nothing depends on it; not_found, corrupt when read
// Threads     one process at a time a group, by its log lock
// Source      LVM2's /etc/lvm/archive (the idea)
#pragma once

#include "libvm/group_rows.h"
#include "libvm/session.h"

namespace thinvol {

// Appends what changed since the last step.
Result<> archive_changes(Session& session, const GroupRow& group);

// One group's text, as above.
Result<std::string> backup_text(Session& session, const GroupRow& group);

struct ArchivedStep {
    std::string file;
    std::int64_t change = 0;
    std::int64_t time = 0;
    std::vector<std::string> differences;  // from the step before; of a file's first one: none
};
// Of a group by name, known to the catalog or not; oldest first.
Result<std::vector<ArchivedStep>> archived_steps(Session& session, const std::string& group);

struct BackedUp {
    GroupRows rows;
    std::int64_t change = 0;
};
// The rows in a file as of a change, or as of its last step.
Result<BackedUp> read_backup(const std::string& file, std::optional<std::int64_t> change);

// Makes them the group's, with labels where they were wiped. Returns warnings, also of pools that
// disagree now. busy: a volume of the group is active, or its pools need `force`: their metadata
// are in no backup.
Result<std::vector<std::string>> restore_group(Session& session, BackedUp backup, bool force);

}  // namespace thinvol
