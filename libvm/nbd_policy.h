// NbdPolicy: what the settings say of one export: who may do what with it, and how much.
//
// Units       requests and bytes, a second
// Invariants  a setting that cannot be read is an error, never a weaker one instead
// Errors      as Config's
// Threads     as the session's
// Source      none
#pragma once

#include "libvm/nbd_access.h"
#include "libvm/session.h"

namespace thinvol {

struct NbdPolicy {
    NbdAccess access;
    std::uint64_t iops_max = 0;  // 0: no limit
    std::uint64_t bandwidth_max = 0;

    static Result<NbdPolicy> load(Session& session, const ThinRow& volume);
};

}  // namespace thinvol
