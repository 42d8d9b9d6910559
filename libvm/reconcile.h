// reconcile: an older catalog over newer physical volumes, and a catalog and a pool that went
// different ways: noticed, explained, settled.
//
// Units       changes by their number in the catalog's vg_log
// Invariants  (1) what the physical volumes' log knows and the catalog does not is never written
//                 over
//             (2) settling is one catalog transaction for the group, one for each pool
// Errors      corrupt: the catalog is older than the log; busy: a pool is in use
// Threads     one
// Source      none
#pragma once

#include "libvm/group_rows.h"
#include "libvm/pool_differences.h"
#include "libvm/session.h"

namespace thinvol {

// Whether the catalog is up to the group's log: corrupt, with what differs and the way out, where
// the log is ahead.
Result<> check_group_current(Session& session, const GroupRow& group);
// Whether the group may be changed: that, and it is not exported. Looks once a session.
Result<> check_group_sound(Session& session, const GroupRow& group);
// The same; and what others left half done in the group is ended (settle_group). Outside of a
// catalog transaction, without a pool's lock.
Result<> check_group_usable(Session& session, const GroupRow& group);
// The same, and the pool is not lent: before a change that is the catalog's alone.
Result<> check_changeable(Session& session, const GroupRow& group, const PoolRow& pool);

// The group as the newest log has it, where that is ahead of the catalog.
struct NewerRows {
    GroupRows rows;
    std::int64_t last_change = 0;
    std::string from;  // the physical volume's path
};
Result<std::optional<NewerRows>> newer_rows(Session& session, const GroupRow& group);
// Makes them the catalog's; the group's row as it is then.
Result<GroupRow> take_newer_rows(Session& session, const NewerRows& newer);

struct PoolState {
    bool in_use = false;                 // then nothing is looked at: it agreed when it was opened
    std::vector<std::string> undecided;  // not empty: nothing was changed
};
// What differs between catalog and pool, as far as `decisions` leave it open.
Result<PoolState> examine_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                               const PoolDecisions& decisions);
// Settles it; what no decision is about is kept under a name of its own.
Result<PoolState> settle_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                              const PoolDecisions& decisions);

}  // namespace thinvol
