#include "commands/creation.h"

#include <fmt/format.h>

#include "commands/lookup.h"
#include "commands/pool_settings.h"
#include "commands/sizing.h"
#include "libvm/placement.h"
#include "libvm/sizes.h"

namespace thinvol {

Result<Creation> creation_of(const Invocation& call) {
    const std::string type = call.value_or("type", "");
    if (!type.empty() && type != "thin" && type != "thin-pool") {
        return Error(
            Errc::unsupported,
            fmt::format(
                "volumes of type {} are not for Thinvol, which manages thin pools and thin volumes",
                type));
    }
    Creation creation;
    const Reference place = TRY(parse_reference(call.operands().front()));
    creation.group = place.group;
    creation.pool = place.volume;
    if (call.has("thinpool")) {
        const std::string& text = call.value("thinpool");
        const Reference named = text.find('/') == std::string::npos
                                    ? Reference{creation.group, text}
                                    : TRY(parse_volume_reference(text));
        if (named.group != creation.group)
            return Error(Errc::invalid_argument, fmt::format("volume groups {} and {} differ",
                                                             creation.group, named.group));
        if (!creation.pool.empty() && creation.pool != named.volume)
            return Error(Errc::invalid_argument,
                         fmt::format("pools {} and {} differ", creation.pool, named.volume));
        creation.pool = named.volume;
    }
    creation.makes_pool = call.has("size") || call.has("extents");
    creation.makes_volume = call.has("virtualsize");
    if (creation.makes_pool && !creation.makes_volume && !call.has("thin") &&
        !call.has("thinpool") && type != "thin-pool") {
        return Error(Errc::invalid_argument,
                     "plain linear volumes are not for Thinvol: use -T for a thin pool, or -V for "
                     "a thin volume");
    }
    if (!creation.makes_pool && !creation.makes_volume)
        return Error(Errc::invalid_argument,
                     "Please give --size for a pool, --virtualsize for a thin volume, or both");
    if (creation.makes_volume && creation.pool.empty() && !creation.makes_pool)
        return Error(Errc::invalid_argument, "Please specify name of existing pool.");
    if (creation.makes_pool && !creation.makes_volume && creation.pool.empty())
        creation.pool = call.value_or("name", "");
    else if (creation.makes_pool && !creation.makes_volume && call.has("name") &&
             call.value("name") != creation.pool) {
        return Error(Errc::invalid_argument, fmt::format("the pool is named both {} and {}",
                                                         creation.pool, call.value("name")));
    }
    return creation;
}

Result<NewPool> pool_wanted(Invocation& call, Session& session, const GroupRow& group,
                            const Creation& creation) {
    const Config config = TRY(Config::load(session, group.id));
    NewPool wanted;
    wanted.name = creation.pool;
    wanted.pv_ids = TRY(find_pvs(session, group, std::span(call.operands()).subspan(1)));
    if (call.has("size") && call.value("size").find_first_of("+-") == 0)
        return Error(Errc::invalid_argument, "Size may not have a sign.");
    wanted.data = TRY(size_in_extents(call, session, {&group, Extents(0), wanted.pv_ids}));
    if (call.has("chunksize"))
        wanted.chunk_size = to_sectors(TRY(parse_size(call.value("chunksize"), 'k')).size);
    if (call.has("poolmetadatasize"))
        wanted.metadata_size = TRY(parse_size(call.value("poolmetadatasize"), 'm')).size;
    if (const Bytes chunk = config.size("allocation.chunk_size"); !wanted.chunk_size && chunk.n > 0)
        wanted.chunk_size = to_sectors(chunk);
    wanted.spare = call.has("poolmetadataspare") ? call.value("poolmetadataspare") == "y"
                                                 : config.flag("allocation.metadata_spare");
    apply_defaults(config, wanted.settings);
    apply_pool_settings(call, wanted.settings);
    if (!creation.makes_volume) wanted.tags = call.values("addtag");
    // "Everything that is free" leaves room for the metadata and their spare, where those do not
    // find it on physical volumes of their own.
    if (call.has("extents") && call.value("extents").find('%') != std::string::npos) {
        Room room = TRY(room_in(session.catalog, group));
        const Extents free = wanted.pv_ids.empty() ? room.data() : room.all;
        const Extents metadata =
            TRY(pool_geometry(group, wanted.data, wanted.chunk_size, wanted.metadata_size))
                .metadata;
        Extents besides(0);
        for (int copies = wanted.spare ? 2 : 1; copies > 0; --copies) {
            if (wanted.pv_ids.empty() && room.metadata_only >= metadata)
                room.metadata_only = room.metadata_only - metadata;
            else besides += metadata;
        }
        if (wanted.data + besides > free && free > besides) wanted.data = free - besides;
    }
    return wanted;
}

}  // namespace thinvol
