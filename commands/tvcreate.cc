#include "commands/invocation.h"
#include "commands/lookup.h"
#include "commands/sizing.h"
#include "commands/snapshots.h"
#include "commands/table.h"
#include "commands/warnings.h"
#include "libvm/extents.h"
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
    {"snapshot", 's', Value::none, "A snapshot of the thin volume that is the operand."},
    {"chunksize", 'c', Value::chunk_size,
     "Unit of allocation and sharing of a new pool: 64k to 1g, a multiple of 64k."},
    {"poolmetadatasize", 0, Value::size, "Size of a new pool's metadata."},
    {"poolmetadataspare", 0, Value::yes_no,
     "Whether the group keeps a spare for its pools' metadata; y unless given."},
    {"zero", 'Z', Value::yes_no,
     "Whether a new pool zeroes chunks before their first use; y unless given."},
    {"discards", 0, Value::discards,
     "What becomes of discards in a new pool; passdown unless given."},
    {"permission", 'p', Value::permission, "Whether the volume may be written."},
    {"setactivationskip", 'k', Value::yes_no,
     "Whether activation of the volume is skipped without -K."},
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

struct Form {
    std::string group;
    std::string pool;  // empty: an automatic name
    bool makes_pool = false;
    bool makes_volume = false;
};

// Which pool is meant, and what is to be made.
Result<Form> form_of(const Invocation& call) {
    const std::string type = call.value_or("type", "");
    if (!type.empty() && type != "thin" && type != "thin-pool") {
        return Error(
            Errc::unsupported,
            fmt::format(
                "volumes of type {} are not for Thinvol, which manages thin pools and thin volumes",
                type));
    }
    Form form;
    const Reference place = TRY(parse_reference(call.operands().front()));
    form.group = place.group;
    form.pool = place.volume;
    if (call.has("thinpool")) {
        const std::string& text = call.value("thinpool");
        const Reference named = text.find('/') == std::string::npos
                                    ? Reference{form.group, text}
                                    : TRY(parse_volume_reference(text));
        if (named.group != form.group)
            return Error(Errc::invalid_argument,
                         fmt::format("volume groups {} and {} differ", form.group, named.group));
        if (!form.pool.empty() && form.pool != named.volume)
            return Error(Errc::invalid_argument,
                         fmt::format("pools {} and {} differ", form.pool, named.volume));
        form.pool = named.volume;
    }
    form.makes_pool = call.has("size") || call.has("extents");
    form.makes_volume = call.has("virtualsize");
    if (form.makes_pool && !form.makes_volume && !call.has("thin") && !call.has("thinpool") &&
        type != "thin-pool") {
        return Error(Errc::invalid_argument,
                     "plain linear volumes are not for Thinvol: use -T for a thin pool, or -V for "
                     "a thin volume");
    }
    if (!form.makes_pool && !form.makes_volume)
        return Error(Errc::invalid_argument,
                     "Please give --size for a pool, --virtualsize for a thin volume, or both");
    if (form.makes_volume && form.pool.empty() && !form.makes_pool)
        return Error(Errc::invalid_argument, "Please specify name of existing pool.");
    if (form.makes_pool && !form.makes_volume && form.pool.empty())
        form.pool = call.value_or("name", "");
    else if (form.makes_pool && !form.makes_volume && call.has("name") &&
             call.value("name") != form.pool) {
        return Error(Errc::invalid_argument, fmt::format("the pool is named both {} and {}",
                                                         form.pool, call.value("name")));
    }
    return form;
}

Result<NewPool> pool_wanted(Invocation& call, Session& session, const GroupRow& group,
                            const Form& form) {
    NewPool wanted;
    wanted.name = form.pool;
    wanted.pv_ids = TRY(find_pvs(session, group, std::span(call.operands()).subspan(1)));
    if (call.has("size") && call.value("size").find_first_of("+-") == 0)
        return Error(Errc::invalid_argument, "Size may not have a sign.");
    wanted.data = TRY(size_in_extents(call, session, {&group, Extents(0), wanted.pv_ids}));
    if (call.has("chunksize"))
        wanted.chunk_size = to_sectors(TRY(parse_size(call.value("chunksize"), 'k')).size);
    if (call.has("poolmetadatasize"))
        wanted.metadata_size = TRY(parse_size(call.value("poolmetadatasize"), 'm')).size;
    wanted.spare = call.value_or("poolmetadataspare", "y") == "y";
    wanted.zero = call.value_or("zero", "y") == "y";
    const std::string discards = call.value_or("discards", "passdown");
    wanted.discards = discards == "passdown"     ? Discards::passdown
                      : discards == "nopassdown" ? Discards::nopassdown
                                                 : Discards::ignore;
    // "Everything that is free" leaves room for the metadata and their spare.
    if (call.has("extents") && call.value("extents").find('%') != std::string::npos) {
        const auto free = TRY(FreeExtents::of(TRY(session.catalog.pvs(group.id)),
                                              TRY(session.catalog.segments(group.id))))
                              .total();
        const Extents metadata =
            TRY(pool_geometry(group, wanted.data, wanted.chunk_size, wanted.metadata_size))
                .metadata;
        const Extents besides = metadata * (wanted.spare ? 2 : 1);
        if (wanted.data + besides > free && free > besides) wanted.data = free - besides;
    }
    return wanted;
}

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
    const auto made = TRY(create_volumes(session, group, pool, {{one}}));
    for (const auto& warning : made.warnings) call.warn(warning);
    warn_of_overcommitment(call, session, group, pool);
    call.say("Logical volume \"{}\" created.", made.names.front());
    if (call.has("activate") && call.value("activate") != "n") {
        const LvRow lv = TRY(session.catalog.find_lv(group, made.names.front()));
        TRY(activate(session, group, pool, {lv.id}));
    }
    return {};
}

Result<> make(Invocation& call, const Form& form) {
    Session session = TRY(call.session());
    const GroupRow group = TRY(session.catalog.find_group(form.group));
    if (form.makes_volume && call.has("name") && form.makes_pool) {
        if (TRY(session.catalog.lookup_lv(group.id, call.value("name")))) {
            return Error(Errc::exists,
                         fmt::format("Logical Volume \"{}\" already exists in volume group \"{}\"",
                                     call.value("name"), group.name));
        }
        TRY(check_volume_name(call.value("name")));
    }
    std::string pool_name = form.pool;
    if (form.makes_pool) {
        TRY(settle_group(session, group));
        const auto made =
            TRY(create_pool(session, group, TRY(pool_wanted(call, session, group, form))));
        for (const auto& warning : made.warnings) call.warn(warning);
        pool_name = made.names.front();
        if (!form.makes_volume) call.say("Logical volume \"{}\" created.", pool_name);
    }
    if (!form.makes_volume) return {};
    const auto lv = TRY(session.catalog.lookup_lv(group.id, pool_name));
    if (!lv || lv->pending)
        return Error(Errc::not_found,
                     fmt::format("Pool {} not found in Volume group {}.", pool_name, group.name));
    const FoundPool pool = TRY(find_pool(session, group.name + "/" + pool_name));
    return make_volume(call, session, group, pool.pool);
}

int run(Invocation& call) {
    if (call.has("snapshot")) return make_snapshot(call);
    const auto form = form_of(call);
    if (!form)
        return form.error().code == Errc::unsupported ? call.fail(form.error())
                                                      : call.usage(form.error().text);
    TRY_OR_FAIL(call, make(call, *form));
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvcreate{.name = "tvcreate",
                               .summary = "Create thin pools and thin volumes.",
                               .options = options,
                               .operands = operands,
                               .conflicts = conflicts,
                               .examples = examples,
                               .run = run};
static_assert(well_formed(tvcreate));

}  // namespace thinvol
