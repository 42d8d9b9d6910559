#include "tests/support/command_script.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "libvm/group_log.h"
#include "libvm/reconcile.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

constexpr Sectors extent{512};  // 256 KiB: small devices make many states

// A command's result does not matter here, only whether there is one.
template <class T>
Result<> done(Result<T>&& r) {
    if (!r) return std::move(r).error();
    return {};
}

Result<GroupRow> vg(Session& s) { return s.catalog.find_group("vg0"); }
Result<PoolRow> pool(Session& s, const char* name) {
    return s.catalog.pool(TRY(s.catalog.find_lv(TRY(vg(s)), name)).id);
}
Result<ThinRow> thin(Session& s, const char* name) {
    return s.catalog.thin(TRY(s.catalog.find_lv(TRY(vg(s)), name)).id);
}
bool never_ask(const std::string&) { return false; }

// To a size, not by an amount: done twice it is done once.
Result<> extend_to(Session& s, SegmentRole role, Extents wanted) {
    Extents have(0);
    for (const SegmentRow& segment :
         TRY(s.catalog.segments_of(TRY(pool(s, "pool0")).lv.id, role, false)))
        have += segment.length;
    if (have == wanted) return Error(Errc::exists, "it has that size");
    ExtendPoolRequest by;
    (role == SegmentRole::data ? by.data : by.metadata) = wanted - have;
    return done(extend_pool(s, TRY(vg(s)), TRY(pool(s, "pool0")), by));
}

Result<> make_pool(Session& s, const char* name, Extents data) {
    NewPool wanted;
    wanted.name = name;
    wanted.data = data;
    return done(create_pool(s, TRY(vg(s)), wanted));
}

// Every command that changes something, on a group of one and then two physical volumes.
const CommandStep script[] = {
    {"tvgcreate",
     [](Session& s) {
         return done(create_group(s, {"vg0", {SimWorld::pv_path(0)}, extent}, never_ask));
     }},
    {"tvcreate pool", [](Session& s) { return make_pool(s, "pool0", Extents(3)); }},
    {"tvcreate volume",
     [](Session& s) -> Result<> {
         return done(
             create_volumes(s, TRY(vg(s)), TRY(pool(s, "pool0")), {{{"root", Bytes(32 << 20)}}}));
     }},
    {"tvsnapshot",
     [](Session& s) -> Result<> {
         return done(create_volumes(s, TRY(vg(s)), TRY(pool(s, "pool0")),
                                    {{{"snap", Bytes(0), TRY(thin(s, "root")).lv.id}}}));
     }},
    {"tvsnapshot --group",
     [](Session& s) -> Result<> {
         const std::int64_t root = TRY(thin(s, "root")).lv.id;
         const std::int64_t snap = TRY(thin(s, "snap")).lv.id;
         return done(create_volumes(s, TRY(vg(s)), TRY(pool(s, "pool0")),
                                    {{{"root1", Bytes(0), root}, {"snap1", Bytes(0), snap}}}));
     }},
    {"tvconvert --merge",
     [](Session& s) -> Result<> {
         return done(merge_snapshot(s, TRY(vg(s)), TRY(thin(s, "snap1")), false));
     }},
    {"tvconvert --merge --keep",
     [](Session& s) -> Result<> {
         return done(merge_snapshot(s, TRY(vg(s)), TRY(thin(s, "root1")), true));
     }},
    {"tvremove several",
     [](Session& s) -> Result<> {
         return done(remove_volumes(s, TRY(vg(s)), TRY(pool(s, "pool0")),
                                    {{TRY(thin(s, "root_premerge")).lv.id}, true}));
     }},
    {"tvgextend",
     [](Session& s) -> Result<> {
         return done(extend_group(s, TRY(vg(s)), {SimWorld::pv_path(1)}, never_ask));
     }},
    {"tvextend pool data", [](Session& s) { return extend_to(s, SegmentRole::data, Extents(7)); }},
    {"tvextend pool metadata",
     [](Session& s) { return extend_to(s, SegmentRole::metadata, Extents(10)); }},
    {"tvextend volume",
     [](Session& s) -> Result<> {
         return done(resize_volume(s, TRY(vg(s)), TRY(thin(s, "root")), Bytes(48 << 20)));
     }},
    {"tvreduce volume",
     [](Session& s) -> Result<> {
         return done(resize_volume(s, TRY(vg(s)), TRY(thin(s, "root")), Bytes(16 << 20)));
     }},
    {"tvrename",
     [](Session& s) -> Result<> {
         return done(rename_volume(s, TRY(vg(s)), TRY(thin(s, "snap")).lv, "before"));
     }},
    {"tvremove volume",
     [](Session& s) -> Result<> {
         return done(remove_volumes(s, TRY(vg(s)), TRY(pool(s, "pool0")),
                                    {{TRY(thin(s, "before")).lv.id}, true}));
     }},
    {"tvcreate second pool", [](Session& s) { return make_pool(s, "pool1", Extents(2)); }},
    {"tvremove pool",
     [](Session& s) -> Result<> {
         return done(remove_pool(s, TRY(vg(s)), TRY(pool(s, "pool1"))));
     }},
    {"tvremove last pool",
     [](Session& s) -> Result<> {
         return done(remove_pool(s, TRY(vg(s)), TRY(pool(s, "pool0"))));
     }},
    {"tvgreduce",
     [](Session& s) -> Result<> {
         const GroupRow group = TRY(vg(s));
         return done(reduce_group(s, group, {TRY(find_pv(s, group, SimWorld::pv_path(0)))}));
     }},
    {"tvgrename", [](Session& s) -> Result<> { return done(rename_group(s, TRY(vg(s)), "vg1")); }},
    {"tvgremove",
     [](Session& s) -> Result<> {
         return done(remove_group(s, TRY(s.catalog.find_group("vg1"))));
     }},
};

// The rows that a log describes, applied in order.
using Rows = std::map<std::string, std::string>;
Rows folded(const std::vector<std::string>& changes) {
    Rows rows;
    for (const std::string& line : changes) {
        const auto change = nlohmann::json::parse(line);
        const std::string table = change.at("t");
        if (change.contains("d")) rows.erase(fmt::format("{} {}", table, change.at("d").dump()));
        else
            rows[fmt::format("{} {}", table, change.at("r").at("id").dump())] =
                change.at("r").dump();
    }
    return rows;
}

}  // namespace

std::span<const CommandStep> command_script() { return script; }

Result<std::string> visible_state(Session& s) {
    std::string text;
    for (const GroupRow& group : TRY(s.catalog.groups())) {
        text += fmt::format("group {};", group.name);
        for (const PvRow& pv : TRY(s.catalog.pvs(group.id))) text += fmt::format(" pv {}", pv.path);
        for (const PoolRow& p : TRY(s.catalog.pools(group.id))) {
            Extents data(0);
            Extents metadata(0);
            for (const SegmentRow& segment : TRY(s.catalog.segments(group.id))) {
                if (segment.lv_id != p.lv.id) continue;
                (segment.role == SegmentRole::data ? data : metadata) += segment.length;
            }
            text += fmt::format(" pool {} {} {}", p.lv.name, data, metadata);
            for (const ThinRow& t : TRY(s.catalog.thins_of_pool(p.lv.id)))
                text += fmt::format(" thin {} {} {}", t.lv.name, t.size, t.origin_id != 0);
        }
        text += TRY(s.catalog.spare(group.id)) ? " spare" : "";
        text += '\n';
    }
    return text;
}

Result<> check_consistency(Session& s) {
    for (const GroupRow& group : TRY(s.catalog.groups())) {
        for (const PoolRow& row : TRY(s.catalog.pools(group.id))) {
            if (TRY(s.catalog.pending(row.lv.id)))
                return Error(Errc::corrupt,
                             fmt::format("pool {} still has a pending operation", row.lv.name));
            auto local = TRY(LocalPool::open(s, group, row));
            std::set<std::uint32_t> in_catalog;
            for (const ThinRow& t : TRY(s.catalog.thins_of_pool(row.lv.id, true))) {
                if (t.lv.pending)
                    return Error(Errc::corrupt,
                                 fmt::format("volume {} is still pending", t.lv.name));
                in_catalog.insert(t.thin_id.n());
            }
            std::set<std::uint32_t> in_pool;
            for (const ThinId id : TRY(local->pool().volume_ids())) in_pool.insert(id.n());
            if (in_catalog != in_pool)
                return Error(
                    Errc::corrupt,
                    fmt::format("pool {} and catalog do not have the same volumes", row.lv.name));
            const PoolStatus status = local->pool().status();
            const PoolRow now = TRY(s.catalog.pool(row.lv.id));
            if (status.transaction_id != now.transaction_id)
                return Error(Errc::corrupt,
                             fmt::format("pool {}: transaction ids differ", row.lv.name));
            if (status.data_size.n != local->devices().data().size().n / row.chunk_size.n)
                return Error(Errc::corrupt, fmt::format("pool {}: size differs", row.lv.name));
            const CheckReport report = TRY(check_metadata(local->devices().metadata()));
            if (!report.clean())
                return Error(Errc::corrupt, "recount: " + report.findings.front().text);
        }
        TRY(sync_group_log(s, group));
        std::vector<std::string> expected;
        for (const auto& change : TRY(s.catalog.all_rows(group.id)))
            expected.push_back(change.json);
        for (const PvRow& pv : TRY(s.catalog.pvs(group.id))) {
            if (!pv.keeps_log) continue;
            auto device = TRY(open_pv(*s.opener, pv, s.catalog.environment_uuid()));
            auto log = TRY(open_group_log(*device.queue, *uuid_bytes(group.uuid)));
            if (folded(TRY(log.read_all())) != folded(expected))
                return Error(
                    Errc::corrupt,
                    fmt::format("the log on {} does not hold the catalog's rows", pv.path));
        }
    }
    return {};
}

Result<> check_step(SimWorld& world, const CommandStep& step, const std::string& before,
                    const std::string& after, Opening opening) {
    {
        Session s = TRY(within("session", world.session(opening)));
        Statement check = TRY(s.catalog.database().prepare("PRAGMA integrity_check"));
        TRY(check.step());
        if (check.text(0) != "ok") return Error(Errc::corrupt, "catalog: " + check.text(0));
        for (const GroupRow& group : TRY(s.catalog.groups()))
            TRY(within("the next change", check_group_usable(s, group)));
        TRY(within("then", check_consistency(s)));
        const std::string state = TRY(visible_state(s));
        if (state != before && state != after)
            return Error(Errc::corrupt,
                         fmt::format("it left something in between:\n{}before:\n{}after:\n{}",
                                     state, before, after));
    }
    Session s = TRY(world.session(opening));
    const auto again = step.run(s);
    const bool says_so =
        !again && (again.error().code == Errc::exists || again.error().code == Errc::not_found);
    if (!again && !says_so) return Error(again.error().code, "run again: " + again.error().text);
    TRY(within("after a second time", check_consistency(s)));
    const std::string state = TRY(visible_state(s));
    if (state != after)
        return Error(Errc::corrupt, fmt::format("run again, it left:\n{}not:\n{}", state, after));
    return {};
}

}  // namespace thinvol
