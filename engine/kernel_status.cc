#include "engine/kernel_status.h"

#include <fmt/format.h>

namespace thinvol {
namespace {

const char* mode_word(PoolMode mode) {
    return mode == PoolMode::out_of_metadata_space ? "ro" : name_of(mode);
}

const char* discard_word(Discards discards) {
    switch (discards) {
        case Discards::passdown: return "discard_passdown";
        case Discards::nopassdown: return "no_discard_passdown";
        case Discards::ignore: return "ignore_discard";
    }
    return "ignore_discard";
}

}  // namespace

std::string pool_status_line(const PoolStatus& s, const PoolFeatures& features) {
    if (s.mode == PoolMode::failed) return "Fail";
    // What is kept back counts as used.
    const std::uint64_t reserve = metadata_reserve(s.metadata_size).n;
    const std::uint64_t free = (s.metadata_size - s.metadata_used).n;
    const std::uint64_t used = s.metadata_size.n - (free > reserve ? free - reserve : 0);
    const std::string snapshot =
        s.metadata_snapshot == MetadataBlock(0) ? "-" : fmt::format("{}", s.metadata_snapshot);
    return fmt::format("{} {}/{} {}/{} {} {} {} {} {} {}", s.transaction_id, used, s.metadata_size,
                       s.data_used, s.data_size, snapshot, mode_word(s.mode),
                       discard_word(features.discards),
                       s.writes_wait_for_space ? "queue_if_no_space" : "error_if_no_space",
                       s.needs_check ? "needs_check" : "-", low_water_of_metadata(s.metadata_size));
}

std::string thin_status_line(const Pool::VolumeUse& use, Sectors data_block_size) {
    const std::uint64_t mapped = use.mapped * data_block_size.n;
    if (!use.highest) return fmt::format("{} -", mapped);
    return fmt::format("{} {}", mapped, (use.highest->n + 1) * data_block_size.n - 1);
}

}  // namespace thinvol
