#include "libvm/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "libvm/pool_access.h"
#include "libvm/report_format.h"
#include "libvm/sizes.h"
#include "libvm/uuid.h"

namespace thinvol {
namespace {

// --- what rows are made of -----------------------------------------------------------------------

Bytes segments_size(const GroupView& view, std::int64_t lv_id, SegmentRole role) {
    Extents sum(0);
    for (const SegmentRow& s : view.segments) {
        if (s.lv_id == lv_id && s.role == role && !s.pending) sum += s.length;
    }
    return to_bytes(view.group.extent_size * sum.n);
}

const PoolRow* pool_of(const LvView& v) {
    return v.thin != nullptr ? v.in->pool(v.thin->pool_id) : v.pool;
}

const PoolAnswer* status_of(const LvView& v) {
    const PoolRow* pool = pool_of(v);
    return pool == nullptr ? nullptr : v.in->status_of(pool->lv.id);
}

const ActiveVolume* activation_of(const LvView& v) {
    const PoolAnswer* status = v.thin == nullptr ? nullptr : status_of(v);
    if (status == nullptr) return nullptr;
    const auto it = std::find_if(status->active.begin(), status->active.end(),
                                 [&](const ActiveVolume& a) { return a.lv_id == v.thin->lv.id; });
    return it == status->active.end() ? nullptr : &*it;
}

bool is_pool(const LvView& v) { return v.pool != nullptr && !v.hidden; }

std::string name_of_part(const LvView& v) {
    if (v.lv->kind == LvKind::spare) return fmt::format("[{}]", v.lv->name);
    return fmt::format("[{}_{}]", v.lv->name, v.part == SegmentRole::data ? "tdata" : "tmeta");
}
std::string shown_name(const LvView& v) { return v.hidden ? name_of_part(v) : v.lv->name; }

Bytes size_of(const LvView& v) {
    if (v.thin != nullptr) return v.thin->size;
    if (v.lv->kind == LvKind::spare) return segments_size(*v.in, v.lv->id, SegmentRole::spare);
    return segments_size(*v.in, v.lv->id, v.part);
}

std::string health_of(const LvView& v) {
    const PoolAnswer* status = status_of(v);
    if (status == nullptr) return "";
    if (status->mode == "failed") return "failed";
    if (status->mode == "out_of_data_space") return "out_of_data";
    if (status->mode == "ro" || status->mode == "out_of_metadata_space")
        return "metadata_read_only";
    return "";
}

std::string attributes(const LvView& v) {
    const PoolAnswer* status = status_of(v);
    const ActiveVolume* active = activation_of(v);
    const bool pool_active = status != nullptr && v.thin == nullptr;
    std::string a = "----------";
    a[0] = v.thin != nullptr                                           ? 'V'
           : !v.hidden                                                 ? 't'
           : v.lv->kind == LvKind::pool && v.part == SegmentRole::data ? 'T'
                                                                       : 'e';
    if (v.thin != nullptr && v.thin->merging != Merging::no) a[0] = 'S';
    if (v.thin != nullptr && v.in->merged_into.contains(v.lv->id)) a[0] = 'O';
    a[1] = v.lv->read_only ? 'r' : 'w';
    a[2] = 'i';
    if (pool_of(v) != nullptr && pool_of(v)->lent_to != LentTo::nobody) a[4] = 'l';
    if (active != nullptr || pool_active)
        a[4] = status != nullptr && status->needs_check && is_pool(v) ? 'c' : 'a';
    if ((active != nullptr && active->clients > 0) ||
        (pool_active && (v.hidden || !status->active.empty())))
        a[5] = 'o';
    if (!v.hidden) a[6] = 't';
    const PoolRow* pool = pool_of(v);
    if (!v.hidden && pool != nullptr && pool->zero) a[7] = 'z';
    if (is_pool(v)) {
        const std::string health = health_of(v);
        a[8] = health == "failed"               ? 'F'
               : health == "out_of_data"        ? 'D'
               : health == "metadata_read_only" ? 'M'
                                                : '-';
    }
    if (v.thin != nullptr && v.thin->skip_activation) a[9] = 'k';
    return a;
}

std::vector<std::string> roles(const LvView& v) {
    if (v.lv->kind == LvKind::spare) return {"private", "pool", "spare"};
    if (v.hidden)
        return {"private", "thin", "pool", v.part == SegmentRole::data ? "data" : "metadata"};
    if (v.thin == nullptr) return {"private"};
    std::vector<std::string> r{"public"};
    const auto snapshots =
        std::count_if(v.in->thins.begin(), v.in->thins.end(),
                      [&](const ThinRow& t) { return t.origin_id == v.thin->lv.id; });
    if (snapshots > 0) r.insert(r.end(), {"origin", "thinorigin"});
    if (snapshots > 1) r.emplace_back("multithinorigin");
    if (v.thin->origin_id != 0) r.insert(r.end(), {"snapshot", "thinsnapshot"});
    return r;
}

Cell text_or_nothing(const std::string& s) { return s.empty() ? Cell() : Cell(s); }
Cell flag(bool set, const char* word) { return set ? Cell(std::string(word)) : Cell(); }
Cell number(std::uint64_t n) { return static_cast<std::int64_t>(n); }

// --- fields of volumes ---------------------------------------------------------------------------

constexpr const char* discards_word(Discards d) {
    return d == Discards::passdown     ? "passdown"
           : d == Discards::nopassdown ? "nopassdown"
                                       : "ignore";
}

const std::vector<Field<LvView>> volume_fields{
    {"lv_name", "LV", FieldKind::text, "Name. Hidden volumes are in brackets.",
     [](const LvView& v) -> Cell { return shown_name(v); }},
    {"vg_name", "VG", FieldKind::text, "Name of its volume group.",
     [](const LvView& v) -> Cell { return v.in->group.name; }},
    {"lv_attr", "Attr", FieldKind::text,
     "Attributes; see lvs(8). Besides, the fifth is l: the pool is lent.",
     [](const LvView& v) -> Cell { return attributes(v); }},
    {"lv_size", "LSize", FieldKind::size, "Virtual size of a volume, data size of a pool.",
     [](const LvView& v) -> Cell { return size_of(v); }},
    {"pool_lv", "Pool", FieldKind::text, "The pool a volume is in.",
     [](const LvView& v) -> Cell {
         return v.thin == nullptr ? Cell() : Cell(pool_of(v)->lv.name);
     }},
    {"origin", "Origin", FieldKind::text, "What a snapshot was made of.",
     [](const LvView& v) -> Cell {
         const ThinRow* origin = v.thin == nullptr ? nullptr : v.in->thin(v.thin->origin_id);
         return origin == nullptr ? Cell() : Cell(origin->lv.name);
     }},
    {"data_percent", "Data%", FieldKind::percent,
     "Of a pool: used. Of a volume: mapped. Empty when inactive.",
     [](const LvView& v) -> Cell {
         const PoolAnswer* status = status_of(v);
         if (is_pool(v) && status != nullptr)
             return Percent{status->data_used, status->data_blocks};
         const ActiveVolume* active = activation_of(v);
         if (active == nullptr) return {};
         const std::uint64_t chunk = to_bytes(pool_of(v)->chunk_size).n;
         return Percent{active->mapped_blocks, divide_up(v.thin->size.n, chunk)};
     }},
    {"metadata_percent", "Meta%", FieldKind::percent,
     "Of a pool: metadata used. Empty when inactive.",
     [](const LvView& v) -> Cell {
         const PoolAnswer* status = status_of(v);
         return is_pool(v) && status != nullptr
                    ? Cell(Percent{status->metadata_used, status->metadata_blocks})
                    : Cell();
     }},
    {"move_pv", "Move", FieldKind::text, "Always empty here.",
     [](const LvView&) -> Cell { return {}; }},
    {"mirror_log", "Log", FieldKind::text, "Always empty here.",
     [](const LvView&) -> Cell { return {}; }},
    {"copy_percent", "Cpy%Sync", FieldKind::percent, "Always empty here.",
     [](const LvView&) -> Cell { return {}; }},
    {"convert_lv", "Convert", FieldKind::text, "Always empty here.",
     [](const LvView&) -> Cell { return {}; }},
    {"lv_full_name", "LV", FieldKind::text, "Group and name.",
     [](const LvView& v) -> Cell { return fmt::format("{}/{}", v.in->group.name, shown_name(v)); }},
    {"lv_uuid", "LV UUID", FieldKind::text, "Identity.",
     [](const LvView& v) -> Cell { return grouped_uuid(v.lv->uuid); }},
    {"lv_layout", "Layout", FieldKind::list, "Layout.",
     [](const LvView& v) -> Cell {
         if (v.hidden) return std::vector<std::string>{"linear"};
         return std::vector<std::string>{"thin", v.thin != nullptr ? "sparse" : "pool"};
     }},
    {"lv_role", "Role", FieldKind::list, "Role.", [](const LvView& v) -> Cell { return roles(v); }},
    {"lv_permissions", "LPerms", FieldKind::text, "writeable or read-only.",
     [](const LvView& v) -> Cell {
         return std::string(v.lv->read_only ? "read-only" : "writeable");
     }},
    {"lv_active", "Active", FieldKind::text, "active, or empty.",
     [](const LvView& v) -> Cell {
         return flag(v.thin != nullptr ? activation_of(v) != nullptr : status_of(v) != nullptr,
                     "active");
     }},
    {"lv_device_open", "DevOpen", FieldKind::text, "open while a client is connected.",
     [](const LvView& v) -> Cell { return flag(attributes(v)[5] == 'o', "open"); }},
    {"lv_skip_activation", "SkipAct", FieldKind::text, "Whether activation is skipped without -K.",
     [](const LvView& v) -> Cell {
         return flag(v.thin != nullptr && v.thin->skip_activation, "skip activation");
     }},
    {"lv_health_status", "Health", FieldKind::text, "Empty when fine.",
     [](const LvView& v) -> Cell { return text_or_nothing(health_of(v)); }},
    {"lv_check_needed", "CheckNeeded", FieldKind::text,
     "Whether the pool's metadata ask for a check.",
     [](const LvView& v) -> Cell {
         return flag(is_pool(v) && status_of(v) != nullptr && status_of(v)->needs_check,
                     "check needed");
     }},
    {"lv_metadata_size", "MSize", FieldKind::size, "Of a pool: size of its metadata.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? Cell(segments_size(*v.in, v.lv->id, SegmentRole::metadata)) : Cell();
     }},
    {"lv_time", "CTime", FieldKind::text, "When it was made.",
     [](const LvView& v) -> Cell { return format_time(v.lv->created); }},
    {"thin_id", "ThId", FieldKind::number, "Number inside the pool.",
     [](const LvView& v) -> Cell {
         return v.thin == nullptr ? Cell() : number(v.thin->thin_id.n());
     }},
    {"thin_count", "#Thins", FieldKind::number, "Of a pool: volumes in it.",
     [](const LvView& v) -> Cell {
         if (!is_pool(v)) return {};
         return number(static_cast<std::uint64_t>(
             std::count_if(v.in->thins.begin(), v.in->thins.end(),
                           [&](const ThinRow& t) { return t.pool_id == v.lv->id; })));
     }},
    {"lv_when_full", "WhenFull", FieldKind::text,
     "Of a pool: whether writes wait for room or fail when it is full.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? Cell(std::string(v.pool->error_when_full ? "error" : "queue"))
                           : Cell();
     }},
    {"no_space_timeout", "Timeout", FieldKind::number,
     "Of a pool: seconds that writes wait for room; 0: for ever.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? number(static_cast<std::uint64_t>(v.pool->no_space_timeout)) : Cell();
     }},
    {"transaction_id", "TransId", FieldKind::number,
     "Of a pool: the transaction id that its metadata must have.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? number(v.pool->transaction_id.n) : Cell();
     }},
    {"chunk_size", "Chunk", FieldKind::size, "Of a pool: unit of allocation and sharing.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? Cell(to_bytes(v.pool->chunk_size)) : Cell();
     }},
    {"zero", "Zero", FieldKind::text, "Of a pool: whether new chunks are zeroed.",
     [](const LvView& v) -> Cell { return flag(is_pool(v) && v.pool->zero, "zero"); }},
    {"discards", "Discards", FieldKind::text, "Of a pool: what becomes of discards.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? Cell(std::string(discards_word(v.pool->discards))) : Cell();
     }},
    {"lv_when_full", "WhenFull", FieldKind::text,
     "Of a pool: what becomes of writes when it is full.",
     [](const LvView& v) -> Cell { return is_pool(v) ? Cell(std::string("error")) : Cell(); }},
    {"lent_to", "Lent", FieldKind::text, "Of a pool: who has it instead of Thinvol.",
     [](const LvView& v) -> Cell {
         return flag(is_pool(v) && v.pool->lent_to == LentTo::kernel, "kernel");
     }},
    {"data_lv", "Data", FieldKind::text, "Of a pool: its hidden data volume.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? Cell(fmt::format("[{}_tdata]", v.lv->name)) : Cell();
     }},
    {"metadata_lv", "Meta", FieldKind::text, "Of a pool: its hidden metadata volume.",
     [](const LvView& v) -> Cell {
         return is_pool(v) ? Cell(fmt::format("[{}_tmeta]", v.lv->name)) : Cell();
     }},
    {"uri", "URI", FieldKind::text, "Where clients reach an active volume.",
     [](const LvView& v) -> Cell {
         return activation_of(v) == nullptr ? Cell() : Cell(activation_of(v)->uri);
     }},
    {"clients", "Clients", FieldKind::number, "Clients connected to an active volume.",
     [](const LvView& v) -> Cell {
         return activation_of(v) == nullptr ? Cell() : number(activation_of(v)->clients);
     }},
    {"server_pid", "PID", FieldKind::number, "Process that serves the pool.",
     [](const LvView& v) -> Cell {
         return status_of(v) == nullptr ? Cell() : Cell(status_of(v)->pid);
     }},
    {"server_flushes", "Flushes", FieldKind::number,
     "Flushes the pool's server has asked of physical volumes.",
     [](const LvView& v) -> Cell {
         return status_of(v) == nullptr ? Cell() : number(status_of(v)->flushes);
     }},
};

// --- fields of groups ----------------------------------------------------------------------------

Extents used_extents(const GroupView& v) {
    Extents sum(0);
    for (const SegmentRow& s : v.segments) sum += s.length;
    return sum;
}
Extents all_extents(const GroupView& v) {
    Extents sum(0);
    for (const PvRow& pv : v.pvs) sum += pv.extents;
    return sum;
}

const std::vector<Field<GroupView>> group_fields{
    {"vg_name", "VG", FieldKind::text, "Name.",
     [](const GroupView& v) -> Cell { return v.group.name; }},
    {"pv_count", "#PV", FieldKind::number, "Physical volumes.",
     [](const GroupView& v) -> Cell { return number(v.pvs.size()); }},
    {"lv_count", "#LV", FieldKind::number, "Visible volumes.",
     [](const GroupView& v) -> Cell { return number(v.pools.size() + v.thins.size()); }},
    {"snap_count", "#SN", FieldKind::number, "Copy-on-write snapshots: none here.",
     [](const GroupView&) -> Cell { return std::int64_t{0}; }},
    {"vg_attr", "Attr", FieldKind::text, "Attributes; see vgs(8).",
     [](const GroupView&) -> Cell { return std::string("wz--n-"); }},
    {"vg_size", "VSize", FieldKind::size, "Size.",
     [](const GroupView& v) -> Cell { return to_bytes(v.group.extent_size * all_extents(v).n); }},
    {"vg_free", "VFree", FieldKind::size, "Not allocated.",
     [](const GroupView& v) -> Cell {
         return to_bytes(v.group.extent_size * (all_extents(v) - used_extents(v)).n);
     }},
    {"vg_uuid", "VG UUID", FieldKind::text, "Identity.",
     [](const GroupView& v) -> Cell { return grouped_uuid(v.group.uuid); }},
    {"vg_extent_size", "Ext", FieldKind::size, "Size of an extent.",
     [](const GroupView& v) -> Cell { return to_bytes(v.group.extent_size); }},
    {"vg_extent_count", "#Ext", FieldKind::number, "Extents.",
     [](const GroupView& v) -> Cell { return number(all_extents(v).n); }},
    {"vg_free_count", "Free", FieldKind::number, "Extents not allocated.",
     [](const GroupView& v) -> Cell { return number((all_extents(v) - used_extents(v)).n); }},
    {"vg_seqno", "Seq", FieldKind::number, "Counts changes of the group.",
     [](const GroupView& v) -> Cell { return v.last_change; }},
};

// --- fields of physical volumes ------------------------------------------------------------------

Extents used_on(const PvView& v) {
    Extents sum(0);
    for (const SegmentRow& s : v.in->segments) sum += s.pv_id == v.pv->id ? s.length : Extents(0);
    return sum;
}
Bytes extents_of(const PvView& v, Extents n) { return to_bytes(v.in->group.extent_size * n.n); }

const std::vector<Field<PvView>> pv_fields{
    {"pv_name", "PV", FieldKind::text, "File or device.",
     [](const PvView& v) -> Cell { return v.pv->path; }},
    {"vg_name", "VG", FieldKind::text, "Its volume group.",
     [](const PvView& v) -> Cell { return v.in->group.name; }},
    {"pv_fmt", "Fmt", FieldKind::text, "Format of its label.",
     [](const PvView&) -> Cell { return std::string("thinvol"); }},
    {"pv_attr", "Attr", FieldKind::text, "Attributes; see pvs(8).",
     [](const PvView&) -> Cell { return std::string("a--"); }},
    {"pv_size", "PSize", FieldKind::size, "Size in extents.",
     [](const PvView& v) -> Cell { return extents_of(v, v.pv->extents); }},
    {"pv_free", "PFree", FieldKind::size, "Not allocated.",
     [](const PvView& v) -> Cell { return extents_of(v, v.pv->extents - used_on(v)); }},
    {"pv_used", "Used", FieldKind::size, "Allocated.",
     [](const PvView& v) -> Cell { return extents_of(v, used_on(v)); }},
    {"pv_uuid", "PV UUID", FieldKind::text, "Identity.",
     [](const PvView& v) -> Cell { return grouped_uuid(v.pv->uuid); }},
    {"dev_size", "DevSize", FieldKind::size, "Size of the file or device.",
     [](const PvView& v) -> Cell { return to_bytes(v.pv->size); }},
    {"pe_start", "1st PE", FieldKind::size, "Where the first extent lies.",
     [](const PvView& v) -> Cell { return to_bytes(v.pv->data_start); }},
    {"pv_pe_count", "PE", FieldKind::number, "Extents.",
     [](const PvView& v) -> Cell { return number(v.pv->extents.n); }},
    {"pv_pe_alloc_count", "Alloc", FieldKind::number, "Extents allocated.",
     [](const PvView& v) -> Cell { return number(used_on(v).n); }},
    {"pv_io_mode", "IO", FieldKind::text, "How everybody reads and writes it: buffered or direct.",
     [](const PvView& v) -> Cell {
         return std::string(v.pv->io_mode == IoMode::direct ? "direct" : "buffered");
     }},
};

// --- collecting ----------------------------------------------------------------------------------

Result<GroupView> view_group(Catalog& catalog, const GroupRow& group) {
    GroupView view;
    view.group = group;
    view.pvs = TRY(catalog.pvs(group.id));
    view.segments = TRY(catalog.segments(group.id));
    view.pools = TRY(catalog.pools(group.id));
    view.thins = TRY(catalog.thins(group.id));
    for (const ThinRow& thin : view.thins) {
        if (thin.merging != Merging::no) view.merged_into.insert(thin.origin_id);
    }
    view.spare = TRY(catalog.spare(group.id));
    view.last_change = TRY(catalog.last_change(group.id));
    return view;
}

// All of it in one read transaction.
Result<std::vector<GroupView>> view_groups(Catalog& catalog, const ReportRequest& request,
                                           std::vector<Error>& errors) {
    TRY(catalog.begin_reading());
    std::vector<GroupView> views;
    for (const GroupRow& group : TRY(catalog.groups())) {
        const bool wanted = request.objects.empty() ||
                            std::any_of(request.objects.begin(), request.objects.end(),
                                        [&](const Reference& r) { return r.group == group.name; });
        if (wanted) views.push_back(TRY(view_group(catalog, group)));
    }
    TRY(catalog.end_reading());
    for (const Reference& r : request.objects) {
        const bool found = std::any_of(views.begin(), views.end(),
                                       [&](const GroupView& v) { return v.group.name == r.group; });
        if (!found)
            errors.emplace_back(Errc::not_found,
                                fmt::format("Volume group \"{}\" not found", r.group));
    }
    return views;
}

void ask_servers(const Environment& environment, GroupView& view, std::vector<Error>& errors) {
    for (const PoolRow& pool : view.pools) {
        auto status = ask_if_served(environment, pool, new_request(StatusRequest{}));
        if (!status)
            errors.push_back(std::move(status).error().prefixed(
                fmt::format("{}/{}", view.group.name, pool.lv.name)));
        else if (*status) view.served.emplace_back(pool.lv.id, std::move(**status));
    }
}

std::vector<LvView> volumes_of(const GroupView& view, bool all) {
    std::vector<LvView> found;
    for (const PoolRow& pool : view.pools) {
        found.push_back({&view, &pool.lv, &pool, nullptr, SegmentRole::data, false});
        if (!all) continue;
        for (const SegmentRole part : {SegmentRole::data, SegmentRole::metadata})
            found.push_back({&view, &pool.lv, &pool, nullptr, part, true});
    }
    for (const ThinRow& thin : view.thins)
        found.push_back({&view, &thin.lv, nullptr, &thin, SegmentRole::data, false});
    if (all && view.spare)
        found.push_back({&view, &*view.spare, nullptr, nullptr, SegmentRole::spare, true});
    return found;
}

// --- cells ---------------------------------------------------------------------------------------

template <class Row>
const Field<Row>* field_named(const std::vector<Field<Row>>& fields, std::string_view name) {
    const auto it = std::find_if(fields.begin(), fields.end(),
                                 [&](const Field<Row>& f) { return f.name == name; });
    return it == fields.end() ? nullptr : &*it;
}

// Brackets do not count in the order of names.
std::string_view without_bracket(std::string_view s) {
    return s.starts_with('[') ? s.substr(1) : s;
}

bool less(const Cell& a, const Cell& b) {
    if (a.index() != b.index()) return a.index() < b.index();
    if (const auto* s = std::get_if<std::string>(&a))
        return without_bracket(*s) < without_bracket(std::get<std::string>(b));
    if (const auto* n = std::get_if<std::int64_t>(&a)) return *n < std::get<std::int64_t>(b);
    if (const auto* s = std::get_if<Bytes>(&a)) return *s < std::get<Bytes>(b);
    if (const auto* p = std::get_if<Percent>(&a)) {
        const Percent& q = std::get<Percent>(b);
        return static_cast<long double>(p->part) * static_cast<long double>(q.whole) <
               static_cast<long double>(q.part) * static_cast<long double>(p->whole);
    }
    if (const auto* l = std::get_if<std::vector<std::string>>(&a))
        return *l < std::get<std::vector<std::string>>(b);
    return false;
}

template <class Row>
ReportTable tabulate(const std::vector<Field<Row>>& fields, const std::vector<Row>& rows,
                     const ReportRequest& request, std::string_view array_name) {
    ReportTable table;
    table.array_name = array_name;
    std::vector<const Field<Row>*> columns;
    for (const auto& name : request.fields) {
        const Field<Row>* f = field_named(fields, name);
        columns.push_back(f);
        table.columns.push_back({f->name, f->heading, f->kind, f->help});
    }
    std::vector<std::vector<Cell>> keys;
    for (const Row& row : rows) {
        auto& cells = table.rows.emplace_back();
        for (const auto* f : columns) cells.push_back(f->get(row));
        auto& key = keys.emplace_back();
        for (const auto& [name, descending] : request.sort)
            key.push_back(field_named(fields, name)->get(row));
    }
    std::vector<std::size_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
        for (std::size_t k = 0; k < request.sort.size(); ++k) {
            const Cell& a = keys[x][k];
            const Cell& b = keys[y][k];
            if (less(a, b)) return !request.sort[k].second;
            if (less(b, a)) return request.sort[k].second;
        }
        return x < y;
    });
    std::vector<std::vector<Cell>> sorted;
    sorted.reserve(order.size());
    for (const std::size_t i : order) sorted.push_back(std::move(table.rows[i]));
    table.rows = std::move(sorted);
    return table;
}

template <class Row>
std::vector<FieldInfo> infos(const std::vector<Field<Row>>& fields) {
    std::vector<FieldInfo> found;
    found.reserve(fields.size());
    for (const auto& f : fields) found.push_back({f.name, f.heading, f.kind, f.help});
    return found;
}

// Insertions, deletions and changes that make one word of the other.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
        }
    }
    return row.back();
}

bool wanted_volume(const ReportRequest& request, const LvView& v) {
    if (request.objects.empty()) return true;
    return std::any_of(request.objects.begin(), request.objects.end(), [&](const Reference& r) {
        return r.group == v.in->group.name &&
               (r.volume.empty() || r.volume == without_bracket(shown_name(v)) ||
                (!v.hidden && r.volume == v.lv->name) ||
                fmt::format("[{}]", r.volume) == shown_name(v));
    });
}

}  // namespace

const PoolAnswer* GroupView::status_of(std::int64_t pool_id) const {
    const auto it = std::find_if(served.begin(), served.end(),
                                 [&](const auto& s) { return s.first == pool_id; });
    return it == served.end() ? nullptr : &it->second;
}
const PoolRow* GroupView::pool(std::int64_t id) const {
    const auto it =
        std::find_if(pools.begin(), pools.end(), [&](const PoolRow& p) { return p.lv.id == id; });
    return it == pools.end() ? nullptr : &*it;
}
const ThinRow* GroupView::thin(std::int64_t id) const {
    const auto it =
        std::find_if(thins.begin(), thins.end(), [&](const ThinRow& t) { return t.lv.id == id; });
    return it == thins.end() ? nullptr : &*it;
}

std::vector<FieldInfo> fields_of(ReportKind kind) {
    switch (kind) {
        case ReportKind::volumes: return infos(volume_fields);
        case ReportKind::groups: return infos(group_fields);
        case ReportKind::physical_volumes: return infos(pv_fields);
    }
    return {};
}

std::vector<std::string> default_fields(ReportKind kind) {
    switch (kind) {
        case ReportKind::volumes:
            return {"lv_name", "vg_name",    "lv_attr",      "lv_size",
                    "pool_lv", "origin",     "data_percent", "metadata_percent",
                    "move_pv", "mirror_log", "copy_percent", "convert_lv"};
        case ReportKind::groups:
            return {"vg_name", "pv_count", "lv_count", "snap_count",
                    "vg_attr", "vg_size",  "vg_free"};
        case ReportKind::physical_volumes:
            return {"pv_name", "vg_name", "pv_fmt", "pv_attr", "pv_size", "pv_free"};
    }
    return {};
}

std::vector<std::string> default_sort(ReportKind kind) {
    switch (kind) {
        case ReportKind::volumes: return {"vg_name", "lv_name"};
        case ReportKind::groups: return {"vg_name"};
        case ReportKind::physical_volumes: return {"pv_name"};
    }
    return {};
}

Result<FieldInfo> find_field(ReportKind kind, std::string_view name) {
    const auto fields = fields_of(kind);
    for (const std::string_view prefix : {"", "lv_", "vg_", "pv_"}) {
        for (const FieldInfo& f : fields) {
            if (f.name == std::string(prefix) + std::string(name)) return f;
        }
    }
    const auto nearest =
        std::min_element(fields.begin(), fields.end(), [&](const FieldInfo& a, const FieldInfo& b) {
            return distance(a.name, name) < distance(b.name, name);
        });
    return Error(
        Errc::not_found,
        fmt::format("unrecognised field \"{}\"; did you mean \"{}\"? \"-o help\" lists all", name,
                    nearest->name));
}

Result<Report> make_report(const Environment& environment, const ReportRequest& request) {
    Report report;
    std::vector<GroupView> views;
    auto catalog = TRY(Catalog::open_existing(environment));
    if (catalog) views = TRY(view_groups(*catalog, request, report.errors));
    else
        for (const Reference& r : request.objects)
            report.errors.emplace_back(Errc::not_found,
                                       fmt::format("Volume group \"{}\" not found", r.group));
    if (request.kind == ReportKind::groups) {
        report.table = tabulate(group_fields, views, request, "vg");
        return report;
    }
    if (request.kind == ReportKind::physical_volumes) {
        std::vector<PvView> pvs;
        for (const GroupView& view : views) {
            for (const PvRow& pv : view.pvs) pvs.push_back({&view, &pv});
        }
        report.table = tabulate(pv_fields, pvs, request, "pv");
        return report;
    }
    std::vector<LvView> volumes;
    for (GroupView& view : views) {
        ask_servers(environment, view, report.errors);
        for (const LvView& v : volumes_of(view, request.all)) {
            if (wanted_volume(request, v)) volumes.push_back(v);
        }
    }
    for (const Reference& r : request.objects) {
        if (r.volume.empty() || !std::any_of(views.begin(), views.end(), [&](const GroupView& v) {
                return v.group.name == r.group;
            }))
            continue;
        ReportRequest one = request;
        one.objects = {r};
        if (std::none_of(volumes.begin(), volumes.end(),
                         [&](const LvView& v) { return wanted_volume(one, v); })) {
            report.errors.emplace_back(
                Errc::not_found,
                fmt::format("Failed to find logical volume \"{}/{}\"", r.group, r.volume));
        }
    }
    report.table = tabulate(volume_fields, volumes, request, "lv");
    return report;
}

}  // namespace thinvol
