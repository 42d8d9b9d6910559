// sizing: -L and -l as a number of extents, absolute or against what is there.
//
// Units       extents
// Invariants  sizes that set or add are rounded up, sizes that subtract down
// Errors      invalid_argument: a sign that the command does not take
// Threads     one
// Source      lvm(8)
#pragma once

#include "commands/invocation.h"
#include "libvm/volumes.h"

namespace thinvol {

struct SizeBase {
    const GroupRow* group = nullptr;
    Extents present{};                   // of the volume: what + and - count from, and 100%LV
    std::vector<std::int64_t> pv_ids{};  // of %PVS; empty: all
};
// Of --size or --extents, whichever was given. Negative results are refused.
Result<Extents> size_in_extents(const Invocation& call, Session& session, const SizeBase& base);
// Of another option that takes a size, such as --poolmetadatasize.
Result<Extents> option_in_extents(const Invocation& call, std::string_view option,
                                  const GroupRow& group, Extents present);

Extents extents_of(const GroupRow& group, Bytes size);
Bytes bytes_of(const GroupRow& group, Extents extents);
// How many extents the volume's segments of that role have.
Result<Extents> segment_extents(Session& session, std::int64_t lv_id, SegmentRole role);

}  // namespace thinvol
