// pool_settings: the options that say how a pool behaves, of tvcreate and of tvchange.
//
// Units       none
// Invariants  what is not given stays as it is
// Errors      invalid_argument
// Threads     one
// Source      lvcreate(8), lvchange(8)
#pragma once

#include <array>

#include "commands/invocation.h"
#include "libvm/config.h"
#include "libvm/volumes.h"

namespace thinvol {

inline constexpr OptionSpec zero_option{"zero", 'Z', Value::yes_no,
                                        "Whether the pool zeroes chunks before their first use."};
inline constexpr OptionSpec discards_option{"discards", 0, Value::discards,
                                            "What becomes of discards in the pool."};
inline constexpr OptionSpec error_when_full_option{
    "errorwhenfull", 0, Value::yes_no,
    "Whether writes fail at once when the pool is full, or wait for room."};
inline constexpr OptionSpec no_space_timeout_option{
    "nospacetimeout", 0, Value::seconds,
    "How long writes wait for room in a full pool, 0 for ever."};

// What new pools are where no option says otherwise.
void apply_defaults(const Config& config, PoolRow& pool);
bool has_pool_settings(const Invocation& call);
void apply_pool_settings(const Invocation& call, PoolRow& pool);

}  // namespace thinvol
