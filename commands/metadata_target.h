// metadata_target: the device that a tool writes new metadata to, asked about before what it holds
// is lost.
//
// Units       none
// Invariants  nothing is written here; what is there is only looked at
// Errors      as open_metadata_device; busy: a physical volume, or in use; exists: it holds
//             something, and the answer was no
// Threads     one
// Source      wipefs(8); thin_restore(8)
#pragma once

#include "commands/metadata_source.h"
#include "engine/metadata_visitor.h"

namespace thinvol {

inline constexpr OptionSpec target_option{"output", 'o', Value::any_device,
                                          "File or block device to write the metadata to."};
inline constexpr OperandSpec inactive_pool_operand{
    "VG/Pool", Value::pool, "Pool, not active, whose metadata are replaced."};
inline constexpr OptionSpec transaction_id_option{
    "transaction-id", 0, Value::number, "Transaction id to write, whatever the input says."};
inline constexpr OptionSpec data_block_size_option{
    "data-block-size", 0, Value::number, "Sectors of a data block, whatever the input says."};
inline constexpr OptionSpec data_blocks_option{"nr-data-blocks", 0, Value::number,
                                               "Data blocks of the pool, whatever the input says."};
PoolOverrides overrides_of(const Invocation& call);

Result<MetadataSource> open_metadata_target(Invocation& call, const std::string& path);

}  // namespace thinvol
