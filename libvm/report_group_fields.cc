// The fields of groups and of physical volumes.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "libvm/report_rows.h"
#include "libvm/uuid.h"

namespace thinvol {
namespace {

using Row = ReportRow;
using Words = std::vector<std::string>;
using enum FieldKind;

Bytes of_extents(const Row& r, Extents n) { return to_bytes(r.in->group.extent_size * n.n); }
Extents free_extents(const Row& r) { return r.in->extents - r.in->used; }

// --- groups --------------------------------------------------------------------------------------

bool is_missing(const PvRow& pv) {
    struct stat ignored{};
    return ::stat(pv.path.c_str(), &ignored) != 0;
}
std::uint64_t missing_pvs(const Row& r) {
    return static_cast<std::uint64_t>(
        std::count_if(r.in->pvs.begin(), r.in->pvs.end(), is_missing));
}

char letter_of(Allocation allocation) {
    switch (allocation) {
        case Allocation::contiguous: return 'c';
        case Allocation::cling: return 'l';
        case Allocation::normal: return 'n';
    }
    return '?';
}

std::string group_attributes(const Row& r) {
    std::string a = "wz----";
    if (r.in->settings.exported) a[2] = 'x';
    if (missing_pvs(r) > 0) a[3] = 'p';
    a[4] = letter_of(r.in->settings.allocation);
    return a;
}

std::uint64_t volume_count(const Row& r) {
    std::uint64_t n = r.in->pools.size();
    for (const auto& [pool, volumes] : r.in->volumes_in) n += volumes;
    return n;
}

constexpr std::array<std::string_view, 1> writeable{"writeable"};
constexpr std::array<std::string_view, 1> extendable{"extendable"};
constexpr std::array<std::string_view, 1> exported{"exported"};
constexpr std::array<std::string_view, 1> partial{"partial"};
constexpr std::array<std::string_view, 1> enabled{"enabled"};
constexpr std::array<std::string_view, 1> allocatable{"allocatable"};
constexpr std::array<std::string_view, 1> missing{"missing"};
constexpr std::array<std::string_view, 1> in_use{"used"};
constexpr std::array<std::string_view, 3> policies{"cling", "contiguous", "normal"};
constexpr std::array<std::string_view, 2> io_modes{"buffered", "direct"};
constexpr std::array<std::string_view, 1> formats{"thinvol"};

constexpr Field group_table[] = {
    {"vg_name", "VG", text, "Name of the volume group.",
     [](const Row& r) -> Cell { return r.in->group.name; }},
    {"pv_count", "#PV", number, "Physical volumes.",
     [](const Row& r) -> Cell { return number_cell(r.in->pvs.size()); }},
    {"lv_count", "#LV", number, "Visible volumes.",
     [](const Row& r) -> Cell { return number_cell(volume_count(r)); }, needs_counts},
    {"snap_count", "#SN", number, "Copy-on-write snapshots: none here.",
     [](const Row&) -> Cell { return std::int64_t{0}; }},
    {"vg_attr", "Attr", text, "Attributes; see vgs(8).",
     [](const Row& r) -> Cell { return group_attributes(r); }},
    {"vg_size", "VSize", size, "Size.",
     [](const Row& r) -> Cell { return of_extents(r, r.in->extents); }},
    {"vg_free", "VFree", size, "Not allocated.",
     [](const Row& r) -> Cell { return of_extents(r, free_extents(r)); }},
    {"vg_uuid", "VG UUID", text, "Identity.",
     [](const Row& r) -> Cell { return grouped_uuid(r.in->group.uuid); }},
    {"vg_fmt", "Fmt", text, "Format of its records.",
     [](const Row&) -> Cell { return text_cell("thinvol"); }, needs_nothing, formats},
    {"vg_permissions", "VPerms", text, "Whether it may be changed.",
     [](const Row&) -> Cell { return text_cell("writeable"); }, needs_nothing, writeable},
    {"vg_extendable", "Extendable", flag, "Whether it can be extended.",
     [](const Row& r) -> Cell { return Flag{!r.in->settings.exported, extendable[0]}; },
     needs_nothing, extendable},
    {"vg_exported", "Exported", flag, "Whether it is exported.",
     [](const Row& r) -> Cell { return Flag{r.in->settings.exported, exported[0]}; }, needs_nothing,
     exported},
    {"vg_autoactivation", "AutoAct", flag, "Whether its volumes are activated at boot.",
     [](const Row& r) -> Cell { return Flag{r.in->settings.autoactivation, enabled[0]}; },
     needs_nothing, enabled},
    {"vg_partial", "Partial", flag, "Whether a physical volume is missing.",
     [](const Row& r) -> Cell { return Flag{missing_pvs(r) > 0, partial[0]}; }, needs_nothing,
     partial},
    {"vg_allocation_policy", "AllocPol", text, "Allocation policy.",
     [](const Row& r) -> Cell { return text_cell(name_of(r.in->settings.allocation)); },
     needs_nothing, policies},
    {"vg_extent_size", "Ext", size, "Size of an extent.",
     [](const Row& r) -> Cell { return to_bytes(r.in->group.extent_size); }},
    {"vg_extent_count", "#Ext", number, "Extents.",
     [](const Row& r) -> Cell { return number_cell(r.in->extents.n); }},
    {"vg_free_count", "Free", number, "Extents not allocated.",
     [](const Row& r) -> Cell { return number_cell(free_extents(r).n); }},
    {"missing_pv_count", "#PV Missing", number, "Physical volumes that are missing.",
     [](const Row& r) -> Cell { return number_cell(missing_pvs(r)); }},
    {"vg_seqno", "Seq", number, "Counts changes of the group.",
     [](const Row& r) -> Cell { return r.in->last_change; }},
    {"vg_tags", "VG Tags", list, "Tags.", [](const Row& r) -> Cell { return r.in->tags; },
     needs_tags},
    {"vg_time", "VG Time", time, "When it was made.",
     [](const Row& r) -> Cell { return Time{r.in->group.created}; }},
};

// --- physical volumes ----------------------------------------------------------------------------

Extents used_on(const Row& r) {
    const auto it = r.in->used_on.find(r.pv->id);
    return it == r.in->used_on.end() ? Extents(0) : it->second;
}

std::string pv_attributes(const Row& r) {
    std::string a = r.pv->allocatable ? "a--" : "u--";
    if (r.in->settings.exported) a[1] = 'x';
    if (is_missing(*r.pv)) a[2] = 'm';
    return a;
}

Extents segment_start(const Row& r) {
    return r.segment == nullptr ? r.free_at : Extents(r.segment->pv_start.n);
}
Extents segment_length(const Row& r) { return r.segment == nullptr ? r.free : r.segment->length; }

Cell volume_on(const Row& r) {
    if (r.segment == nullptr) return {};
    if (r.lv == nullptr) return text_cell("[log]");
    if (r.part == SegmentRole::spare) return fmt::format("[{}]", r.lv->name);
    return fmt::format("[{}_{}]", r.lv->name, r.part == SegmentRole::data ? "tdata" : "tmeta");
}

constexpr Field pv_table[] = {
    {"pv_name", "PV", text, "File or device.", [](const Row& r) -> Cell { return r.pv->path; }},
    {"pv_fmt", "Fmt", text, "Format of its label.",
     [](const Row&) -> Cell { return text_cell("thinvol"); }, needs_nothing, formats},
    {"pv_attr", "Attr", text, "Attributes; see pvs(8).",
     [](const Row& r) -> Cell { return pv_attributes(r); }},
    {"pv_size", "PSize", size, "Size in extents.",
     [](const Row& r) -> Cell { return of_extents(r, r.pv->extents); }},
    {"pv_free", "PFree", size, "Not allocated.",
     [](const Row& r) -> Cell { return of_extents(r, r.pv->extents - used_on(r)); }},
    {"pv_used", "Used", size, "Allocated.",
     [](const Row& r) -> Cell { return of_extents(r, used_on(r)); }},
    {"pv_uuid", "PV UUID", text, "Identity.",
     [](const Row& r) -> Cell { return grouped_uuid(r.pv->uuid); }},
    {"dev_size", "DevSize", size, "Size of the file or device.",
     [](const Row& r) -> Cell { return to_bytes(r.pv->size); }},
    {"pe_start", "1st PE", size, "Where the first extent lies.",
     [](const Row& r) -> Cell { return to_bytes(r.pv->data_start); }},
    {"pv_pe_count", "PE", number, "Extents.",
     [](const Row& r) -> Cell { return number_cell(r.pv->extents.n); }},
    {"pv_pe_alloc_count", "Alloc", number, "Extents allocated.",
     [](const Row& r) -> Cell { return number_cell(used_on(r).n); }},
    {"pv_allocatable", "Allocatable", flag, "Whether extents may be allocated on it.",
     [](const Row& r) -> Cell { return Flag{r.pv->allocatable, allocatable[0]}; }, needs_nothing,
     allocatable},
    {"pv_exported", "Exported", flag, "Whether its group is exported.",
     [](const Row& r) -> Cell { return Flag{r.in->settings.exported, exported[0]}; }, needs_nothing,
     exported},
    {"pv_missing", "Missing", flag, "Whether it is missing.",
     [](const Row& r) -> Cell { return Flag{is_missing(*r.pv), missing[0]}; }, needs_nothing,
     missing},
    {"pv_in_use", "PInUse", flag, "Whether it is in a group.",
     [](const Row&) -> Cell { return Flag{true, in_use[0]}; }, needs_nothing, in_use},
    {"pv_tags", "PV Tags", list, "Tags.",
     [](const Row& r) -> Cell {
         const auto it = r.in->pv_tags.find(r.pv->id);
         return it == r.in->pv_tags.end() ? Words{} : it->second;
     },
     needs_tags},
    {"pv_time", "PV Time", time, "When it was made.",
     [](const Row& r) -> Cell { return Time{r.pv->created}; }},
    {"pv_io_mode", "IO", text, "How everybody reads and writes it.",
     [](const Row& r) -> Cell {
         return text_cell(io_modes[r.pv->io_mode == IoMode::direct ? 1 : 0]);
     },
     needs_nothing, io_modes},
    {"pvseg_start", "Start", number, "Where a segment begins, in extents.",
     [](const Row& r) -> Cell { return number_cell(segment_start(r).n); }, needs_segments},
    {"pvseg_size", "SSize", number, "Length of a segment, in extents.",
     [](const Row& r) -> Cell { return number_cell(segment_length(r).n); }, needs_segments},
    {"lv_name", "LV", text, "What a segment belongs to; empty where it is free.", volume_on,
     needs_segments},
};

}  // namespace

std::span<const Field> group_fields() { return group_table; }
std::span<const Field> pv_fields() { return pv_table; }

}  // namespace thinvol
