// pv_lifecycle: files and devices as physical volumes: labelled, resized, found again, wiped.
//
// Units       sectors; extents of the group
// Invariants  (1) nothing that somebody may miss is written over unasked
//             (2) a label is wiped only where it is the one that is meant
// Errors      exists: it is a group's already; busy: it holds something, or is in use; not_found;
//             invalid_argument: too small
// Threads     one
// Source      pvcreate(8), pvremove(8), pvresize(8)
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libvm/session.h"

namespace thinvol {

// Asks the user; libvm itself never does.
using Confirm = std::function<bool(const std::string& question)>;

// What is there, once it may all become physical volumes with one extent at least.
Result<std::vector<PvCandidate>> examine_pvs(Session& session,
                                             const std::vector<std::string>& paths,
                                             Sectors extent_size, const Confirm& overwrite);

struct PreparedPv {
    PvRow row;
    PvLabel label;
    PvOpener::Opened opened;  // exclusively locked until the catalog knows it
};
// Writes the first MiB anew: zeroes, then the label. Of no group: without UUID and extent size.
Result<PreparedPv> prepare_pv(Session& session, const PvCandidate& candidate, const GroupRow& group,
                              bool keeps_log);

// Labels that no group knows yet; the paths that have one now.
Result<std::vector<std::string>> create_pvs(Session& session, const std::vector<std::string>& paths,
                                            const Confirm& overwrite);
// Takes the label off one that is in no group; its path.
Result<std::string> remove_pv(Session& session, const std::string& path, const Confirm& sure);
// A label that was a row's.
Result<> wipe_pv(Session& session, const PvRow& pv);

// The physical volume at that path, of whatever group; and of one group.
Result<PvRow> find_pv(Session& session, const std::string& path);
Result<PvRow> find_pv(Session& session, const GroupRow& group, const std::string& path);

// To the size of the file or device, or to `size`; what is cut off must be free. The row as it is
// then.
Result<PvRow> resize_pv(Session& session, const PvRow& pv, std::optional<Sectors> size);
Result<> set_allocatable(Session& session, const PvRow& pv, bool allocatable);
struct MovedPv {
    PvRow pv;
    std::string path;  // where it is now
};
Result<> set_pv_paths(Session& session, const std::vector<MovedPv>& moves);

}  // namespace thinvol
