#include "libvm/report_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/exclusive.h"
#include "libvm/kept_metadata.h"
#include "libvm/merges.h"
#include "libvm/pool_access.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

// --- reading a group -----------------------------------------------------------------------------

// Calls `each` with every row of a query.
template <class Each, class... Values>
Result<> for_each_row(Catalog& catalog, std::string_view sql, Each&& each,
                      const Values&... values) {
    Statement statement = TRY(catalog.database().prepare(sql));
    (statement.bind(values), ...);
    while (TRY(statement.step())) each(statement);
    return {};
}

Result<> read_properties(Catalog& catalog, GroupView& view) {
    view.settings = TRY(group_settings(catalog, view.group.id));
    return for_each_row(
        catalog,
        "SELECT id FROM pool CROSS JOIN lv USING(id) WHERE pool.vg_id = ? AND NOT autoactivation",
        [&](const Statement& s) { view.not_autoactivated.insert(s.integer(0)); }, view.group.id);
}

// In a pool without an operation half done, no volume is pending.
Result<> read_counts(Catalog& catalog, GroupView& view) {
    for (const PoolRow& pool : view.pools) {
        const bool pending = TRY(catalog.pending(pool.lv.id)).has_value();
        const auto n = TRY(catalog.database().number(
            pending ? "SELECT count(*) FROM thin JOIN lv USING(id) WHERE pool_id = ? AND NOT "
                      "pending"
                    : "SELECT count(*) FROM thin WHERE pool_id = ?",
            pool.lv.id));
        view.volumes_in[pool.lv.id] = static_cast<std::uint64_t>(n.value_or(0));
    }
    return {};
}

Result<> read_tags(Catalog& catalog, GroupView& view) {
    for (TagRow& row : TRY(tags_in_group(catalog, view.group.id))) {
        auto& tags = row.object.lv_id != 0   ? view.lv_tags[row.object.lv_id]
                     : row.object.pv_id != 0 ? view.pv_tags[row.object.pv_id]
                                             : view.tags;
        tags.push_back(std::move(row.tag));
    }
    return {};
}

void index_segments(GroupView& view) {
    for (const PvRow& pv : view.pvs) {
        view.pv_of[pv.id] = &pv;
        view.extents += pv.extents;
    }
    for (const SegmentRow& s : view.segments) {
        view.used_on[s.pv_id] += s.length;
        view.used += s.length;
    }
    for (const PoolRow& pool : view.pools) view.pool_of[pool.lv.id] = &pool;
}

void index_thins(GroupView& view, unsigned needs) {
    view.thin_of.reserve(view.thins.size());
    for (const ThinRow& t : view.thins) {
        view.thin_of[t.lv.id] = &t;
        if (t.merging != Merging::no) view.merged_into.insert(t.origin_id);
    }
    if ((needs & (needs_children | needs_descendants)) == 0) return;
    for (const ThinRow& t : view.thins) {
        if (t.origin_id != 0) view.snapshots_of[t.origin_id].push_back(&t);
    }
}

Result<> read_all_thins(Catalog& catalog, GroupView& view) {
    view.thins = TRY(catalog.thins(view.group.id));
    return for_each_row(
        catalog, "SELECT id FROM lv WHERE vg_id = ? AND NOT autoactivation",
        [&](const Statement& s) { view.not_autoactivated.insert(s.integer(0)); }, view.group.id);
}

// A few thin volumes, and of their relatives as far as is needed.
class NamedThins {
public:
    NamedThins(Catalog& catalog, GroupView& view, unsigned needs)
        : catalog_(catalog), view_(view), needs_(needs) {}

    Result<> add(std::int64_t id) {
        if (TRY(merging_into(catalog_, id))) view_.merged_into.insert(id);
        std::int64_t origin = TRY(add_row(id));
        while (origin != 0) {
            origin = TRY(add_row(origin));
            if ((needs_ & needs_ancestors) == 0) break;
        }
        if ((needs_ & needs_descendants) != 0) {
            return add_found(
                "WITH RECURSIVE below(id) AS (SELECT id FROM thin WHERE origin_id = ? UNION "
                "SELECT thin.id FROM thin JOIN below ON thin.origin_id = below.id) "
                "SELECT id FROM below",
                id);
        }
        if ((needs_ & needs_children) == 0) return {};
        return add_found(
            "SELECT id FROM thin JOIN lv USING(id) WHERE origin_id = ? AND NOT pending LIMIT 2",
            id);
    }

private:
    // Its origin, or 0.
    Result<std::int64_t> add_row(std::int64_t id) {
        if (const auto known = origins_.find(id); known != origins_.end()) return known->second;
        ThinRow row = TRY(catalog_.thin(id));
        if (row.lv.pending) return 0;
        TRY(for_each_row(
            catalog_, "SELECT id FROM lv WHERE id = ? AND NOT autoactivation",
            [&](const Statement& s) { view_.not_autoactivated.insert(s.integer(0)); }, id));
        origins_[id] = row.origin_id;
        view_.thins.push_back(std::move(row));
        return origins_[id];
    }
    Result<> add_found(std::string_view sql, std::int64_t of) {
        std::vector<std::int64_t> found;
        TRY(for_each_row(
            catalog_, sql, [&](const Statement& s) { found.push_back(s.integer(0)); }, of));
        for (const std::int64_t id : found) TRY(add_row(id));
        return {};
    }

    Catalog& catalog_;
    GroupView& view_;
    unsigned needs_;
    ById<std::int64_t> origins_;  // of the rows that are there
};

Result<> read_thins(Catalog& catalog, GroupView& view, const RowsWanted& wanted) {
    const bool whole =
        wanted.objects.empty() ||
        std::any_of(wanted.objects.begin(), wanted.objects.end(), [&](const Reference& r) {
            return r.group == view.group.name && r.volume.empty();
        });
    if (whole) return read_all_thins(catalog, view);
    NamedThins named(catalog, view, wanted.needs);
    for (const Reference& r : wanted.objects) {
        if (r.group != view.group.name) continue;
        const auto lv = TRY(catalog.lookup_lv(view.group.id, r.volume));
        if (lv && lv->kind == LvKind::thin && !lv->pending) TRY(named.add(lv->id));
    }
    return {};
}

Result<std::unique_ptr<GroupView>> read_group(Catalog& catalog, GroupRow group,
                                              const RowsWanted& wanted) {
    auto view = std::make_unique<GroupView>();
    view->group = std::move(group);
    const std::int64_t id = view->group.id;
    TRY(read_properties(catalog, *view));
    view->pvs = TRY(catalog.pvs(id));
    view->segments = TRY(catalog.segments(id));
    view->pools = TRY(catalog.pools(id));
    view->spare = TRY(catalog.spare(id));
    view->kept = TRY(kept_metadata(catalog, id));
    view->last_change = TRY(catalog.last_change(id));
    if ((wanted.needs & needs_counts) != 0) TRY(read_counts(catalog, *view));
    if ((wanted.needs & needs_tags) != 0) TRY(read_tags(catalog, *view));
    if ((wanted.needs & needs_settings) != 0)
        view->stored_settings = TRY(stored_settings(catalog, id));
    if (wanted.kind == ReportKind::volumes) TRY(read_thins(catalog, *view, wanted));
    index_segments(*view);
    index_thins(*view, wanted.needs);
    return view;
}

// --- rows ----------------------------------------------------------------------------------------

std::string part_name(const PoolRow& pool, SegmentRole part) {
    return pool.lv.name + (part == SegmentRole::data ? "_tdata" : "_tmeta");
}

// All of the group, in the order of the tables.
template <class Each>
void each_volume(const GroupView& view, Each&& each) {
    for (const PoolRow& pool : view.pools) {
        each(pool.lv.name, ReportRow{.in = &view, .lv = &pool.lv, .pool = &pool});
        for (const SegmentRole part : {SegmentRole::data, SegmentRole::metadata})
            each(part_name(pool, part),
                 ReportRow{
                     .in = &view, .lv = &pool.lv, .pool = &pool, .part = part, .hidden = true});
    }
    for (const ThinRow& thin : view.thins)
        each(thin.lv.name, ReportRow{.in = &view, .lv = &thin.lv, .thin = &thin});
    if (view.spare)
        each(
            view.spare->name,
            ReportRow{.in = &view, .lv = &*view.spare, .part = SegmentRole::spare, .hidden = true});
    for (const LvRow& kept : view.kept)
        each(kept.name,
             ReportRow{.in = &view, .lv = &kept, .part = SegmentRole::spare, .hidden = true});
}

void add_volumes(const GroupView& view, const RowsWanted& wanted, std::vector<ReportRow>& rows,
                 std::unordered_set<std::string>& missing) {
    bool whole = wanted.objects.empty();
    std::unordered_set<std::string_view> names;
    for (const Reference& r : wanted.objects) {
        if (r.group != view.group.name) continue;
        whole = whole || r.volume.empty();
        names.insert(r.volume);
    }
    each_volume(view, [&](const std::string& name, const ReportRow& row) {
        const bool named = !names.empty() && names.contains(name);
        if (named) missing.erase(view.group.name + "/" + name);
        if (named || (whole && (!row.hidden || wanted.hidden))) rows.push_back(row);
    });
}

// A row for each segment of a row's volume; what is in a pool has one.
void add_segments(const ReportRow& row, std::vector<ReportRow>& rows) {
    if (!row.hidden) {
        rows.push_back(row);
        return;
    }
    std::vector<ReportRow> found;
    for (const SegmentRow& s : row.in->segments) {
        if (s.lv_id != row.lv->id || s.role != row.part || s.pending) continue;
        found.push_back(row);
        found.back().segment = &s;
    }
    std::sort(found.begin(), found.end(), [](const ReportRow& a, const ReportRow& b) {
        return a.segment->start < b.segment->start;
    });
    rows.insert(rows.end(), found.begin(), found.end());
}

// What is allocated on a physical volume and what is not, from its beginning.
void add_pv_segments(const GroupView& view, const PvRow& pv, std::vector<ReportRow>& rows) {
    Extents at(0);
    const auto add_free = [&](Extents until) {
        if (until > at) rows.push_back({.in = &view, .pv = &pv, .free_at = at, .free = until - at});
    };
    for (const SegmentRow& s : view.segments) {  // by physical volume and place
        if (s.pv_id != pv.id) continue;
        add_free(Extents(s.pv_start.n));
        ReportRow row{.in = &view, .pv = &pv, .segment = &s, .part = s.role};
        if (const auto pool = view.pool_of.find(s.lv_id); pool != view.pool_of.end()) {
            row.pool = pool->second;
            row.lv = &pool->second->lv;
        } else if (view.spare && view.spare->id == s.lv_id) {
            row.lv = &*view.spare;
        } else {
            const auto kept = std::ranges::find(view.kept, s.lv_id, &LvRow::id);
            if (kept != view.kept.end()) row.lv = &*kept;
        }
        row.hidden = row.lv != nullptr;
        rows.push_back(row);
        at = Extents(s.pv_start.n) + s.length;
    }
    add_free(pv.extents);
}

}  // namespace

Result<Views> collect_views(Catalog& catalog, const RowsWanted& wanted,
                            std::vector<Error>& errors) {
    TRY(catalog.begin_reading());
    Views views;
    std::unordered_set<std::string> found;
    for (GroupRow& group : TRY(catalog.groups())) {
        const bool mine = wanted.objects.empty() ||
                          std::any_of(wanted.objects.begin(), wanted.objects.end(),
                                      [&](const Reference& r) { return r.group == group.name; });
        if (!mine) continue;
        found.insert(group.name);
        views.push_back(TRY(read_group(catalog, std::move(group), wanted)));
    }
    TRY(catalog.end_reading());
    for (const Reference& r : wanted.objects) {
        if (!found.contains(r.group))
            errors.emplace_back(Errc::not_found,
                                fmt::format("Volume group \"{}\" not found", r.group));
    }
    return views;
}

std::vector<ReportRow> rows_of(const Views& views, const RowsWanted& wanted,
                               std::vector<Error>& errors) {
    const bool segments = (wanted.needs & needs_segments) != 0;
    std::vector<ReportRow> rows;
    if (wanted.kind == ReportKind::groups) {
        for (const auto& view : views) rows.push_back({.in = view.get()});
        return rows;
    }
    if (wanted.kind == ReportKind::physical_volumes) {
        for (const auto& view : views) {
            for (const PvRow& pv : view->pvs) {
                if (segments) add_pv_segments(*view, pv, rows);
                else rows.push_back({.in = view.get(), .pv = &pv});
            }
        }
        return rows;
    }
    std::unordered_set<std::string> missing;
    for (const Reference& r : wanted.objects) {
        const bool in_group = std::any_of(views.begin(), views.end(),
                                          [&](const auto& v) { return v->group.name == r.group; });
        if (in_group && !r.volume.empty()) missing.insert(r.group + "/" + r.volume);
    }
    for (const auto& view : views) {
        std::vector<ReportRow> volumes;
        add_volumes(*view, wanted, volumes, missing);
        if (!segments) rows.insert(rows.end(), volumes.begin(), volumes.end());
        else
            for (const ReportRow& row : volumes) add_segments(row, rows);
    }
    for (const std::string& name : missing)
        errors.emplace_back(Errc::not_found,
                            fmt::format("Failed to find logical volume \"{}\"", name));
    return rows;
}

namespace {

Ids pools_in(const std::vector<ReportRow>& rows) {
    Ids pools;
    for (const ReportRow& row : rows) {
        if (row.thin != nullptr) pools.insert(row.thin->pool_id);
        else if (row.pool != nullptr) pools.insert(row.pool->lv.id);
    }
    return pools;
}

struct Counting {
    GroupView& view;
    const PoolRow& pool;
    const std::vector<const ThinRow*>& volumes;
};
Result<> count_in_pool(Session& session, const Counting& counting, unsigned needs) {
    const auto metadata = TRY(MetadataView::open(session, counting.view.group, counting.pool));
    const auto counter = TRY(ExclusiveCounter::open(metadata->device()));
    const std::uint64_t chunk = to_bytes(counting.pool.chunk_size).n;
    std::vector<ThinId> all;
    for (const ThinRow* v : counting.volumes) {
        all.push_back(v->thin_id);
        if ((needs & needs_exclusive) == 0) continue;
        const auto freed = TRY(counter->freed_with({&v->thin_id, 1}));
        counting.view.exclusive[v->lv.id] = Bytes(freed.data.n * chunk);
    }
    if ((needs & needs_selected) == 0) return {};
    const auto freed = TRY(counter->freed_with(all));
    counting.view.freed_together[counting.pool.lv.id] = Bytes(freed.data.n * chunk);
    return {};
}

}  // namespace

void ask_servers(const Environment& environment, const std::vector<ReportRow>& rows,
                 const Views& views, std::vector<Error>& errors) {
    const Ids pools = pools_in(rows);
    for (const auto& view : views) {
        for (const PoolRow& pool : view->pools) {
            if (!pools.contains(pool.lv.id)) continue;
            auto status = ask_if_served(environment, pool, new_request(StatusRequest{}));
            if (!status) errors.push_back(std::move(status).error().prefixed(view->group.name));
            else if (*status) view->served[pool.lv.id] = std::move(**status);
        }
        for (const auto& [id, answer] : view->served) {
            for (const ActiveVolume& v : answer.active) view->active[v.lv_id] = &v;
        }
    }
}

void read_config(const Environment& environment, const Views& views, std::vector<Error>& errors) {
    auto config = Config::load(environment);
    if (!config) return errors.push_back(std::move(config).error());
    for (const auto& view : views) view->config = *config;
}

void count_exclusive(const Environment& environment, const std::vector<ReportRow>& rows,
                     const Views& views, unsigned needs, std::vector<Error>& errors) {
    if ((needs & (needs_exclusive | needs_selected)) == 0) return;
    auto session = Session::open(environment);
    if (!session) {
        errors.push_back(std::move(session).error());
        return;
    }
    ById<std::vector<const ThinRow*>> in_pool;
    for (const ReportRow& row : rows) {
        if (row.thin != nullptr) in_pool[row.thin->pool_id].push_back(row.thin);
    }
    for (const auto& view : views) {
        for (const PoolRow& pool : view->pools) {
            const auto found = in_pool.find(pool.lv.id);
            if (found == in_pool.end()) continue;
            const Counting counting{*view, pool, found->second};
            if (auto counted = count_in_pool(*session, counting, needs); !counted)
                errors.push_back(std::move(counted).error().prefixed(
                    fmt::format("{}/{}", view->group.name, pool.lv.name)));
        }
    }
}

}  // namespace thinvol
