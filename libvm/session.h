// Session: what an operation of libvm works with: the environment, its catalog, a way to physical
// volumes.
//
// Units       none
// Invariants  none beyond its parts'
// Errors      as Catalog::open
// Threads     one
// Source      none
#pragma once

#include <functional>

#include "libvm/catalog.h"
#include "libvm/physical_volume.h"

namespace thinvol {

struct Session {
    Environment environment;
    Catalog catalog;
    PvOpener* opener = nullptr;
    std::function<std::int64_t()> now;           // seconds since 1970
    std::vector<std::int64_t> groups_checked{};  // by check_group_sound()
    std::shared_ptr<void> stage{};               // of a rehearsal: what it works on

    static Result<Session> open(const Environment& environment);
};

}  // namespace thinvol
