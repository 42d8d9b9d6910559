#include <fmt/format.h>

#include "commands/creation.h"
#include "commands/idempotence.h"
#include "commands/lookup.h"
#include "commands/pool_settings.h"
#include "commands/snapshots.h"
#include "commands/table.h"
#include "commands/tagging.h"
#include "commands/warnings.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"size", 'L', Value::size, "Size of the pool's data."},
    {"extents", 'l', Value::extents, "The same in extents or percent."},
    {"virtualsize", 'V', Value::size, "Size of the thin volume."},
    {"name", 'n', Value::name, "Name of the new volume or, without -V, of the new pool."},
    {"thin", 'T', Value::none, "A thin pool or thin volume; the operand is VG or VG/Pool."},
    {"thinpool", 0, Value::text, "The pool, as Pool or VG/Pool."},
    {"type", 0, Value::text, "thin or thin-pool."},
    {"snapshot", 's', Value::none,
     "A snapshot of the thin volume that is the operand; or with --thinpool VG/Pool a volume over "
     "the file or block device that is the operand, which is only read and must not change."},
    {"chunksize", 'c', Value::chunk_size,
     "Unit of allocation and sharing of a new pool: 64k to 1g, a multiple of 64k."},
    {"poolmetadatasize", 0, Value::size, "Size of a new pool's metadata."},
    {"poolmetadataspare", 0, Value::yes_no,
     "Whether the group keeps a spare for its pools' metadata; y unless given."},
    zero_option,
    discards_option,
    error_when_full_option,
    no_space_timeout_option,
    {"permission", 'p', Value::permission, "Whether the volume may be written."},
    {"setactivationskip", 'k', Value::yes_no,
     "Whether activation of the volume is skipped without -K."},
    addtag_option,
    idempotent_option,
    {"activate", 'a', Value::activation, "Whether the volume is activated; n unless given."},
};
constexpr OperandSpec operands[] = {
    {"VG|VG/Pool", Value::pool, "Where: the group, or the pool by name."},
    {"PV", Value::physical_volume, "Physical volumes to take extents from.", false, true},
};
constexpr Conflict conflicts[] = {
    {"size", "extents"}, {"thin", "snapshot"}, {"snapshot", "virtualsize"}};
constexpr std::string_view examples[] = {
    "tvcreate -L 1g -T vg0/pool0                 a pool",
    "tvcreate -V 4g -T vg0/pool0 -n root         a thin volume in it",
    "tvcreate -L 512m -V 1g -T vg0/pool1 -n v    both at once",
};

Result<> make_volume(Invocation& call, Session& session, const GroupRow& group,
                     const PoolRow& pool) {
    const SizeArgument size = TRY(parse_size(call.value("virtualsize"), 'm'));
    if (size.sign != Sign::none) return Error(Errc::invalid_argument, "Size may not have a sign.");
    const Bytes rounded = TRY(volume_size(group, pool, size.size));
    if (rounded != size.size)
        call.say("Rounding up size to full physical extent {}", format_size_long(rounded));
    MakeVolumesRequest::One one;
    one.name = call.value_or("name", "");
    one.size = rounded;
    one.read_only = call.value_or("permission", "rw") == "r";
    one.skip_activation = call.value_or("setactivationskip", "n") == "y";
    one.tags = call.values("addtag");
    const auto made = TRY(create_volumes(session, group, pool, {{one}}));
    for (const auto& warning : made.warnings) call.warn(warning);
    if (const auto config = config_for_warnings(call, session, pool)) {
        warn_of_overcommitment(call, session, *config, group, pool);
        warn_of_space(call, *config, group.name + "/" + pool.lv.name, made.pool);
    }
    call.say("Logical volume \"{}\" created.", made.names.front());
    if (call.has("activate") && call.value("activate") != "n") {
        const LvRow lv = TRY(session.catalog.find_lv(group, made.names.front()));
        TRY(activate(session, group, pool, {{lv.id}}));
    }
    return {};
}

// Whether the volume that is asked for is there, in that pool and of that size.
Result<bool> is_so(Invocation& call, Session& session, const GroupRow& group, const PoolRow& pool) {
    const auto lv = TRY(session.catalog.lookup_lv(group.id, call.value_or("name", "")));
    if (!lv || lv->kind != LvKind::thin) return false;
    const ThinRow thin = TRY(session.catalog.thin(lv->id));
    const SizeArgument size = TRY(parse_size(call.value("virtualsize"), 'm'));
    return thin.pool_id == pool.lv.id && thin.size == TRY(volume_size(group, pool, size.size));
}

Result<> make(Invocation& call, const Creation& creation) {
    Session session = TRY(call.session());
    const GroupRow group = TRY(session.catalog.find_group(creation.group));
    const bool idempotent = call.has(idempotent_option.name);
    // Looked for also where they are not needed.
    TRY(find_pvs(session, group, std::span(call.operands()).subspan(1)));
    std::string pool_name = creation.pool;
    const auto there = TRY(session.catalog.lookup_lv(group.id, pool_name));
    const bool pool_is_so = idempotent && there && there->kind == LvKind::pool && !there->pending;
    // Before the pool is made, so that a wrong name leaves nothing.
    if (creation.makes_volume && call.has("name") && creation.makes_pool && !pool_is_so)
        TRY(session.catalog.check_new_name(group, call.value("name")));
    if (creation.makes_pool && !pool_is_so) {
        TRY(settle_group(session, group));
        const auto made =
            TRY(create_pool(session, group, TRY(pool_wanted(call, session, group, creation))));
        for (const auto& warning : made.warnings) call.warn(warning);
        pool_name = made.names.front();
        if (!creation.makes_volume) call.say("Logical volume \"{}\" created.", pool_name);
    }
    if (!creation.makes_volume) return {};
    const auto lv = TRY(session.catalog.lookup_lv(group.id, pool_name));
    if (!lv || lv->pending)
        return Error(Errc::not_found,
                     fmt::format("Pool {} not found in Volume group {}.", pool_name, group.name));
    const FoundPool pool = TRY(find_pool(session, group.name + "/" + pool_name));
    if (idempotent && TRY(is_so(call, session, group, pool.pool))) return {};
    return make_volume(call, session, group, pool.pool);
}

int run(Invocation& call) {
    if (call.has("snapshot")) return make_by_tvcreate(call);
    const auto creation = creation_of(call);
    if (!creation)
        return creation.error().code == Errc::unsupported ? call.fail(creation.error())
                                                          : call.usage(creation.error().text);
    TRY_OR_FAIL(call, make(call, *creation));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvcreate{.name = "tvcreate",
                               .summary = "Create thin pools and thin volumes.",
                               .options = options,
                               .operands = operands,
                               .conflicts = conflicts,
                               .examples = examples,
                               .run = run,
                               .test_mode = TestMode::rehearsed};
static_assert(well_formed(tvcreate));

}  // namespace thinvol
