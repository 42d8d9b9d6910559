// autoextend: by how much a pool is to grow when a threshold is reached, and why not further.
//
// Units       blocks and extents
// Invariants  a plan never passes the setting's maximum, nor what the group has free
// Errors      as the catalog's
// Threads     as the session's
// Source      lvmthin(7), "Automatically extend thin pool LV", with a ceiling
#pragma once

#include "libvm/config.h"
#include "libvm/pool_request.h"

namespace thinvol {

struct AutoextendPlan {
    struct Part {
        bool reached = false;  // the threshold
        Extents by{};
        std::string limit;  // what keeps the part from growing (as far as it should)
    };
    Part data;
    Part metadata;
    bool grows() const { return data.by > Extents(0) || metadata.by > Extents(0); }
};

// `use`: a StatusRequest's answer.
bool threshold_reached(const Config& config, const PoolAnswer& use);
Result<AutoextendPlan> plan_autoextend(Session& session, const GroupRow& group, const PoolRow& pool,
                                       const Config& config, const PoolAnswer& use);

}  // namespace thinvol
