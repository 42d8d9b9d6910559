#include "libvm/autoextend.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/format.h"
#include "libvm/extents.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

bool reached(std::int64_t threshold, std::uint64_t used, std::uint64_t size) {
    return threshold < 100 && used * 100 >= static_cast<std::uint64_t>(threshold) * size;
}
bool data_reached(const Config& config, const PoolAnswer& use) {
    return reached(config.number("autoextend.data_threshold"), use.data_used, use.data_blocks);
}
// The pool keeps a quarter of the metadata for freeing, 4 MiB at most, and refuses new volumes
// somewhat earlier: it may be full below any threshold.
bool metadata_reached(const Config& config, const PoolAnswer& use) {
    constexpr std::uint64_t kept_most = 1024;
    constexpr std::uint64_t one_change = 64;
    const std::uint64_t kept = std::min(use.metadata_blocks / 4, kept_most);
    const std::uint64_t free = use.metadata_blocks - use.metadata_used;
    return reached(config.number("autoextend.metadata_threshold"), use.metadata_used,
                   use.metadata_blocks) ||
           (config.autoextends_metadata() &&
            (use.mode == name_of(PoolMode::out_of_metadata_space) ||
             free <= kept + kept / 4 + one_change));
}

struct Space {
    const char* name;  // in settings and texts
    std::uint64_t used;
    std::uint64_t size;
    Bytes block;
    Extents present;
    Extents most;  // that can be used at all
};

Result<Space> space_of(Session& session, const GroupRow& group, const PoolRow& pool,
                       const PoolAnswer& use, SegmentRole role) {
    const bool data = role == SegmentRole::data;
    Extents present(0);
    for (const SegmentRow& s : TRY(session.catalog.segments_of(pool.lv.id, role, true)))
        present += s.length;
    const Bytes metadata_most(max_metadata_blocks.n * metadata_block_bytes);
    const Extents most(data ? UINT64_MAX
                            : divide_up(metadata_most.n, to_bytes(group.extent_size).n));
    return Space{data ? "data" : "metadata",
                 data ? use.data_used : use.metadata_used,
                 data ? use.data_blocks : use.metadata_blocks,
                 data ? to_bytes(pool.chunk_size) : Bytes(metadata_block_bytes),
                 present,
                 most};
}

AutoextendPlan::Part plan(const Space& space, const GroupRow& group, const Config& config,
                          Extents free) {
    const auto key = [&](const char* name) {
        return fmt::format("autoextend.{}_{}", space.name, name);
    };
    AutoextendPlan::Part part;
    part.reached = true;
    const auto threshold = static_cast<std::uint64_t>(config.number(key("threshold")));
    const std::uint64_t extent = to_bytes(group.extent_size).n;
    const auto percent = static_cast<std::uint64_t>(config.number(key("percent")));
    // The percentage, but at least a block, and to below the threshold.
    const Extents step(
        std::max(divide_up(space.present.n * percent, 100), divide_up(space.block.n, extent)));
    const Extents below(space.used * space.block.n / threshold * 100 / extent + 1);
    Extents by = std::max(step, below > space.present ? below - space.present : Extents(0));
    const Bytes maximum = config.size(key("maximum"));
    const Extents ceiling =
        maximum.n == 0 ? space.most : std::min(space.most, Extents(maximum.n / extent));
    const Extents left = ceiling > space.present ? ceiling - space.present : Extents(0);
    if (by > left) {
        by = left;
        part.limit = maximum.n == 0
                         ? fmt::format("no more {} can be used", space.name)
                         : fmt::format("{} is {}", key("maximum"), format_size_long(maximum));
    }
    if (by > free) {
        by = free;
        part.limit = fmt::format("volume group {} has {} free", group.name,
                                 format_size_long(to_bytes(group.extent_size * free.n)));
    }
    // Less than a block is nothing.
    if ((space.present + by).n * extent / space.block.n > space.size) part.by = by;
    return part;
}

}  // namespace

bool threshold_reached(const Config& config, const PoolAnswer& use) {
    return data_reached(config, use) || metadata_reached(config, use);
}

Result<AutoextendPlan> plan_autoextend(Session& session, const GroupRow& group, const PoolRow& pool,
                                       const Config& config, const PoolAnswer& use) {
    const Space metadata = TRY(space_of(session, group, pool, use, SegmentRole::metadata));
    const Space data = TRY(space_of(session, group, pool, use, SegmentRole::data));
    const Extents free = TRY(FreeExtents::of(TRY(session.catalog.pvs(group.id)),
                                             TRY(session.catalog.segments(group.id))))
                             .total();
    AutoextendPlan both;
    if (metadata_reached(config, use)) both.metadata = plan(metadata, group, config, free);
    if (data_reached(config, use)) both.data = plan(data, group, config, free - both.metadata.by);
    return both;
}

}  // namespace thinvol
