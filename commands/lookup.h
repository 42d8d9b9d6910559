// lookup: what a user points at, found in the catalog, with LVM's words when it is not there or of
// the wrong kind.
//
// Units       none
// Invariants  none
// Errors      not_found, invalid_argument
// Threads     one
// Source      lvm(8)
#pragma once

#include "libvm/names.h"
#include "libvm/volumes.h"

namespace thinvol {

struct FoundVolume {
    GroupRow group;
    LvRow lv;
    std::string full_name() const { return group.name + "/" + lv.name; }
};
struct FoundPool {
    GroupRow group;
    PoolRow pool;
    std::string full_name() const { return group.name + "/" + pool.lv.name; }
};
struct FoundThin {
    GroupRow group;
    ThinRow thin;
    std::string full_name() const { return group.name + "/" + thin.lv.name; }
};

Result<FoundVolume> find_volume(Session& session, std::string_view text);
Result<FoundPool> find_pool(Session& session, std::string_view text);
Result<FoundThin> find_thin(Session& session, std::string_view text);
// The pools and thin volumes that operands mean, each once: a group stands for all of its, "@tag"
// for all that carry it or are in a group that does. A tag that nothing carries is not_found.
Result<std::vector<FoundVolume>> find_volumes(Session& session,
                                              const std::vector<std::string>& operands);
// The same, but thin volumes only; a pool is refused where it is named.
Result<std::vector<FoundThin>> find_thins(Session& session,
                                          const std::vector<std::string>& operands);
// The groups that are named; all there are where none is.
Result<std::vector<std::string>> groups_or_all(Session& session, std::vector<std::string> named);
// PVs of the group, by path.
Result<std::vector<std::int64_t>> find_pvs(Session& session, const GroupRow& group,
                                           std::span<const std::string> paths);

}  // namespace thinvol
