#include "commands/resize.h"

#include "commands/file_system_resize.h"
#include "commands/lookup.h"
#include "commands/sizing.h"
#include "commands/warnings.h"
#include "libvm/autoextend.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

Result<> check_direction(ResizeDirection direction, Extents before, Extents after) {
    if (after == before)
        return Error(Errc::exists,
                     fmt::format("New size ({} extents) matches existing size ({} extents).", after,
                                 before));
    if (direction == ResizeDirection::grow && after < before) {
        return Error(
            Errc::invalid_argument,
            fmt::format("New size given ({} extents) not larger than existing size ({} extents)",
                        after, before));
    }
    if (direction == ResizeDirection::shrink && after > before) {
        return Error(
            Errc::invalid_argument,
            fmt::format("New size given ({} extents) not less than existing size ({} extents)",
                        after, before));
    }
    return {};
}

void say_changed(Invocation& call, const GroupRow& group, const std::string& name, Extents before,
                 Extents after) {
    call.say("Size of logical volume {} changed from {} ({} extents) to {} ({} extents).", name,
             format_size_long(bytes_of(group, before)), before,
             format_size_long(bytes_of(group, after)), after);
}

Result<> resize_thin(Invocation& call, Session& session, const FoundThin& found,
                     ResizeDirection direction) {
    const Extents before = extents_of(found.group, found.thin.size);
    const Extents wanted = TRY(size_in_extents(call, session, {&found.group, before, {}}));
    const PoolRow pool = TRY(session.catalog.pool(found.thin.pool_id));
    const Bytes size = TRY(volume_size(found.group, pool, bytes_of(found.group, wanted)));
    const Extents after = extents_of(found.group, size);
    const bool with_file_system = call.has("resizefs");
    if (!with_file_system || after != before) TRY(check_direction(direction, before, after));
    if (after < before && !with_file_system) {
        const bool sure =
            call.has("force") ||
            call.confirm(fmt::format("WARNING: Reducing active or inactive logical volume to {}: "
                                     "THIS MAY DESTROY YOUR DATA (filesystem etc.)\n"
                                     "  Do you really want to reduce {}?",
                                     format_size_long(size), found.full_name()));
        if (!sure)
            return Error(Errc::busy,
                         fmt::format("Logical volume {} NOT reduced.", found.full_name()));
    }
    const VolumeResult done = with_file_system
                                  ? TRY(resize_with_file_system(session, found, size))
                                  : TRY(resize_volume(session, found.group, found.thin, size));
    for (const auto& warning : done.warnings) call.warn(warning);
    const auto config = after > before ? config_for_warnings(call, session, pool) : std::nullopt;
    if (config) warn_of_overcommitment(call, session, *config, found.group, pool);
    if (after != before) say_changed(call, found.group, found.full_name(), before, after);
    return {};
}

Result<> resize_pool(Invocation& call, Session& session, const FoundPool& found,
                     ResizeDirection direction) {
    const std::string name = found.full_name();
    ExtendPoolRequest by;
    by.pv_ids = TRY(find_pvs(session, found.group, std::span(call.operands()).subspan(1)));
    const Extents data = TRY(segment_extents(session, found.pool.lv.id, SegmentRole::data));
    const Extents metadata = TRY(segment_extents(session, found.pool.lv.id, SegmentRole::metadata));
    Extents new_data = data;
    Extents new_metadata = metadata;
    if (call.has("size") || call.has("extents")) {
        new_data = TRY(size_in_extents(call, session, {&found.group, data, by.pv_ids}));
        if (new_data < data)
            return Error(
                Errc::unsupported,
                fmt::format("Thin pool volumes {}_tdata cannot be reduced in size yet.", name));
        TRY(check_direction(direction, data, new_data));
    }
    if (call.has("poolmetadatasize")) {
        new_metadata = TRY(option_in_extents(call, "poolmetadatasize", found.group, metadata));
        if (new_metadata < metadata)
            return Error(Errc::unsupported, "Thin pool metadata volumes cannot be reduced.");
        TRY(check_direction(direction, metadata, new_metadata));
    }
    by.data = new_data - data;
    by.metadata = new_metadata - metadata;
    by.data_before = data;
    by.metadata_before = metadata;
    const VolumeResult done = TRY(extend_pool(session, found.group, found.pool, by));
    for (const auto& warning : done.warnings) call.warn(warning);
    if (const auto config = config_for_warnings(call, session, found.pool))
        warn_of_space(call, *config, found.full_name(), done.pool);
    if (new_metadata > metadata)
        say_changed(call, found.group, name + "_tmeta", metadata, new_metadata);
    if (new_data > data) say_changed(call, found.group, name + "_tdata", data, new_data);
    return {};
}

// What the pool's server does by itself at a threshold.
int use_policies(Invocation& call) {
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundPool found = TRY_OR_FAIL(call, find_pool(session, call.operands().front()));
    const std::string name = found.full_name();
    const Config config =
        TRY_OR_FAIL(call, Config::load(session, found.group.id, found.pool.lv.id));
    if (!config.autoextends_data() && !config.autoextends_metadata())
        return call.fail(
            Error(Errc::unsupported, fmt::format("{} is not to extend itself: set "
                                                 "autoextend.data_threshold or "
                                                 "autoextend.metadata_threshold below 100",
                                                 name)));
    const auto use = TRY_OR_FAIL(
        call, ask_owner(session, found.group, found.pool, new_request(StatusRequest{})));
    const AutoextendPlan plan =
        TRY_OR_FAIL(call, plan_autoextend(session, found.group, found.pool, config, use));
    for (const auto& [part, what] : {std::pair{&plan.data, "data"}, {&plan.metadata, "metadata"}}) {
        if (!part->limit.empty())
            call.warn(
                fmt::format("The {} of {} cannot grow as wanted: {}.", what, name, part->limit));
    }
    if (!plan.grows() && (plan.data.reached || plan.metadata.reached))
        return call.fail(Error(Errc::out_of_space, fmt::format("{} cannot grow", name)));
    if (!plan.grows()) {
        call.say("{} is below its thresholds: nothing to do.", name);
        return exit_ok;
    }
    const ExtendPoolRequest by{plan.data.by, plan.metadata.by, {}, {}, {}};
    const auto done = TRY_OR_FAIL(call, extend_pool(session, found.group, found.pool, by));
    for (const auto& warning : done.warnings) call.warn(warning);
    call.say("Logical volume {} successfully resized.", name);
    return exit_ok;
}

}  // namespace

int resize(Invocation& call, ResizeDirection direction) {
    if (call.has("use-policies")) return use_policies(call);
    const bool has_size = call.has("size") || call.has("extents");
    if (!has_size && !call.has("poolmetadatasize"))
        return call.usage("Please give --size or --extents.");
    const std::string text = call.has("size") ? call.value("size") : call.value_or("extents", "");
    if (direction == ResizeDirection::grow && text.starts_with('-'))
        return call.usage("Size may not be negative.");
    if (direction == ResizeDirection::shrink && text.starts_with('+'))
        return call.usage("Size may not be positive.");
    Session session = TRY_OR_FAIL(call, call.session());
    const FoundVolume found = TRY_OR_FAIL(call, find_volume(session, call.operands().front()));
    if (call.has("resizefs") && found.lv.kind == LvKind::pool)
        return call.usage(
            fmt::format("{} is a pool: it holds volumes, not a file system.", found.full_name()));
    if (found.lv.kind == LvKind::pool) {
        if (direction == ResizeDirection::shrink) {
            return call.fail(
                Error(Errc::unsupported,
                      fmt::format("Thin pool volumes {}_tdata cannot be reduced in size yet.",
                                  found.full_name())));
        }
        const FoundPool pool{found.group, TRY_OR_FAIL(call, session.catalog.pool(found.lv.id))};
        auto resized = resize_pool(call, session, pool, direction);
        // A command that was interrupted was brought to its end first, or another one was faster.
        if (!resized && resized.error().code == Errc::exists)
            resized = resize_pool(call, session, pool, direction);
        TRY_OR_FAIL(call, std::move(resized));
    } else {
        if (call.has("poolmetadatasize"))
            return call.usage(fmt::format("{} is a thin volume: it has no metadata of its own.",
                                          found.full_name()));
        if (call.operands().size() > 1)
            return call.usage(
                "A thin volume takes its space from its pool, not from physical volumes.");
        TRY_OR_FAIL(call,
                    resize_thin(call, session,
                                {found.group, TRY_OR_FAIL(call, session.catalog.thin(found.lv.id))},
                                direction));
    }
    call.say("Logical volume {} successfully resized.", found.full_name());
    return exit_ok;
}

}  // namespace thinvol
