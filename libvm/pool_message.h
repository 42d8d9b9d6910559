// pool_message: the messages of the kernel's thin-pool target, for a pool of ours.
//
//   create_thin ID | create_snap ID ORIGIN | delete ID | set_transaction_id CURRENT NEW
//   reserve_metadata_snap | release_metadata_snap
//
// Units       none
// Invariants  durable when it returns, or nothing changed
// Errors      as Pool::apply(); invalid_argument for what is no message. kernel_errno() is what the
//             target answers.
// Threads     as the pool's
// Source      drivers/md/dm-thin.c pool_message()
#pragma once

#include <span>
#include <string>

#include "engine/pool.h"

namespace thinvol {

struct PoolMessage {
    std::vector<PoolOperation> operations;  // one, or none
    std::optional<std::pair<TransactionId, TransactionId>> transaction_id;
};
Result<ThinId> parse_thin_id(std::string_view text);
Result<PoolMessage> parse_message(std::span<const std::string> words);
Result<> send_message(Pool& pool, const PoolMessage& message);
int kernel_errno(Errc code);

}  // namespace thinvol
