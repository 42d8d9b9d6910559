// thin_fields: what tvls shows of the thin ids of a pool, under thin_ls's names.
//
// Units       in the field's name; a field without one is shown in a unit that suits it
// Invariants  exclusive and shared are found only where they are asked for
// Errors      invalid_argument: no such field; otherwise as ExclusiveCounter
// Threads     one
// Source      thin_ls(8); unlike it, a metadata snapshot's share is not exclusive, as removing the
//             volume would not free it
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/block_queue.h"

namespace thinvol {

struct ThinTable {
    struct Cell {
        std::optional<std::uint64_t> number;  // of bytes, where the text has a unit
        std::string text;
    };
    std::vector<std::string_view> headings;
    std::vector<std::vector<Cell>> rows;  // by thin id
};

// `field_list`: "DEV,EXCLUSIVE_BYTES", in any case.
// The counts of a metadata snapshot are not known: fields that need them are refused.
Result<ThinTable> list_thins(BlockQueue& device, const std::string& field_list, bool snapshot);

}  // namespace thinvol
