#include "commands/sizing.h"

#include <fmt/format.h>

#include "libvm/placement.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

Result<Extents> combined(Sign sign, Extents present, Extents by) {
    if (sign == Sign::none) return by;
    if (sign == Sign::plus) return present + by;
    if (by >= present) return Error(Errc::invalid_argument, "the size would be zero or less");
    return present - by;
}

// What 100 percent is.
Result<Extents> whole(Session& session, const SizeBase& base, ExtentsArgument::Of of) {
    using Of = ExtentsArgument::Of;
    if (of == Of::volume) return base.present;
    if (of == Of::origin)
        return Error(Errc::invalid_argument,
                     "%ORIGIN is of snapshots that have a size of their own");
    if (of == Of::free) return TRY(room_in(session.catalog, *base.group)).data();
    const auto pvs = TRY(session.catalog.pvs(base.group->id));
    Extents sum(0);
    if (of == Of::group) {
        for (const PvRow& pv : pvs) sum += pv.extents;
        return sum;
    }
    const auto free = TRY(FreeExtents::of(pvs, TRY(session.catalog.segments(base.group->id))));
    if (base.pv_ids.empty()) return free.total();
    for (const std::int64_t id : base.pv_ids) sum += free.on(id);
    return sum;
}

}  // namespace

Extents extents_of(const GroupRow& group, Bytes size) {
    return Extents(divide_up(size.n, to_bytes(group.extent_size).n));
}
Bytes bytes_of(const GroupRow& group, Extents extents) {
    return to_bytes(group.extent_size * extents.n);
}

Result<Extents> segment_extents(Session& session, std::int64_t lv_id, SegmentRole role) {
    Extents sum(0);
    for (const SegmentRow& s : TRY(session.catalog.segments_of(lv_id, role, false)))
        sum += s.length;
    return sum;
}

Result<Extents> option_in_extents(const Invocation& call, std::string_view option,
                                  const GroupRow& group, Extents present) {
    const SizeArgument size = TRY(parse_size(call.value(option), 'm'));
    const Extents by = size.sign == Sign::minus
                           ? Extents(size.size.n / to_bytes(group.extent_size).n)
                           : extents_of(group, size.size);
    return combined(size.sign, present, by);
}

Result<Extents> size_in_extents(const Invocation& call, Session& session, const SizeBase& base) {
    if (call.has("size")) return option_in_extents(call, "size", *base.group, base.present);
    const ExtentsArgument argument = TRY(parse_extents(call.value("extents")));
    if (argument.of == ExtentsArgument::Of::extents)
        return combined(argument.sign, base.present, Extents(argument.number));
    const Extents all = TRY(whole(session, base, argument.of));
    if (argument.number > 100000)
        return Error(Errc::invalid_argument, fmt::format("{}% is too much", argument.number));
    const std::uint64_t part = all.n * argument.number;
    return combined(argument.sign, base.present,
                    Extents(argument.sign == Sign::minus ? part / 100 : divide_up(part, 100)));
}

}  // namespace thinvol
