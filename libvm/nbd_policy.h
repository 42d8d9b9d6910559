// NbdPolicy: what the settings say of one export: who may do what with it.
//
// Units       none
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

    static Result<NbdPolicy> load(Session& session, const ThinRow& volume);
};

}  // namespace thinvol
