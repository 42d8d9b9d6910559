// catalog_schema: the tables of the catalog, and how older ones become today's.
//
// Units       none
// Invariants  user_version is the number of migrations applied; a catalog with more is refused by
//             name
// Errors      as Database's; unsupported
// Threads     as the connection's
// Source      sqlite.org, PRAGMA user_version
#pragma once

#include "libvm/sqlite.h"

namespace thinvol {

inline constexpr int catalog_version = 3;

// The tables whose rows make up a group: their changes go to vg_log. Each has `id` and `vg_id`,
// `vg` only `id`.
inline constexpr std::string_view group_tables[] = {"vg",      "pv",      "lv",  "pool",    "thin",
                                                    "segment", "pending", "tag", "setting", "job"};

// Brings the catalog to catalog_version, in one transaction. A new one gets an environment's UUID.
Result<> migrate(Database& db);

}  // namespace thinvol
