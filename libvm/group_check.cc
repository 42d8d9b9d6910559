#include "libvm/group_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/extents.h"
#include "libvm/group_log.h"
#include "libvm/rebuild.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

class Check {
public:
    Check(Session& session, const GroupRow& group) : session_(session), group_(group) {}

    Result<GroupFindings> run() {
        pvs_ = TRY(session_.catalog.pvs(group_.id));
        segments_ = TRY(session_.catalog.segments(group_.id));
        for (const PvRow& pv : pvs_) TRY(check_pv(pv));
        if (auto free = FreeExtents::of(pvs_, segments_); !free) add(free.error().text);
        for (const PoolRow& pool : TRY(session_.catalog.pools(group_.id))) TRY(check_pool(pool));
        TRY(write_empty_logs());
        return std::move(found_);
    }

private:
    void add(std::string text) { found_.wrong.push_back(std::move(text)); }

    // Which volumes lie on it, as words to be added.
    Result<std::string> what_is_on(const PvRow& pv) {
        std::string names;
        for (const PoolRow& pool : TRY(session_.catalog.pools(group_.id))) {
            const bool uses = std::ranges::any_of(segments_, [&](const SegmentRow& s) {
                return s.pv_id == pv.id && s.lv_id == pool.lv.id;
            });
            if (uses)
                names += fmt::format("{}{}/{}", names.empty() ? ", which holds " : ", ",
                                     group_.name, pool.lv.name);
        }
        return names;
    }

    Result<> check_pv(const PvRow& pv) {
        const std::string name = fmt::format("physical volume {}", pv.path);
        const auto scanned = scan_pv(*session_.opener, pv.path, LockKind::shared);
        if (!scanned) {
            const bool absent = scanned.error().code == Errc::not_found;
            add(fmt::format("{} is {}{}: {}", name, absent ? "missing" : "not readable",
                            TRY(what_is_on(pv)), scanned.error().text));
            unusable_.push_back(pv.id);
            return {};
        }
        if (uuid_text(scanned->label.pv) != pv.uuid) {
            unusable_.push_back(pv.id);
            const auto known = TRY(session_.catalog.lookup_pv(uuid_text(scanned->label.pv)));
            add(known ? fmt::format("{} is a copy of {}, or changed places with it", name,
                                    known->path)
                      : fmt::format("{} is a foreign one: {} of volume group \"{}\"", name,
                                    grouped_uuid(uuid_text(scanned->label.pv)),
                                    scanned->label.group_name));
            return {};
        }
        if (uuid_text(scanned->label.environment) != session_.catalog.environment_uuid()) {
            unusable_.push_back(pv.id);
            add(fmt::format("{} belongs to another environment now", name));
            return {};
        }
        if (scanned->size < pv.size)
            add(fmt::format("{} has shrunk{}: {} sectors, its group knows it with {}", name,
                            TRY(what_is_on(pv)), scanned->size, pv.size));
        if (pv.keeps_log) TRY(check_log(pv, *scanned));
        return {};
    }

    // As any change of the group would: a command was killed before it wrote the first record.
    Result<> write_empty_logs() {
        if (empty_logs_.empty() || session_.environment.rehearsal) return {};
        if (auto synced = sync_group_log(session_, group_); !synced)
            return add(synced.error().text), Result<>();
        for (const std::string& path : empty_logs_)
            found_.mended.push_back(
                fmt::format("the log on {} was empty, and is written anew", path));
        return {};
    }

    // It may be behind the catalog, by a command that was killed.
    Result<> check_log(const PvRow& pv, const ScannedPv& scanned) {
        const auto log = open_group_log(*scanned.opened.queue, scanned.label.group);
        if (log && log->never_written()) return empty_logs_.push_back(pv.path), Result<>();
        const auto rows = rows_on(scanned);
        if (!rows) {
            add(fmt::format("the log on {}: {}", pv.path, rows.error().text));
            return {};
        }
        const std::int64_t known = TRY(session_.catalog.last_change(group_.id));
        if (scanned.last_change > known)
            add(
                fmt::format("the log on {} knows change {}, the catalog only {}: tvgreconcile {} "
                            "settles it",
                            pv.path, scanned.last_change, known, group_.name));
        if (scanned.last_change != known) return {};
        for (const std::string& line :
             differences(*rows, TRY(GroupRows::of(session_.catalog, group_.id))))
            add(fmt::format("the log on {} differs from the catalog: {}", pv.path, line));
        return {};
    }

    Result<> check_pool(const PoolRow& pool) {
        const std::string name = fmt::format("pool {}/{}", group_.name, pool.lv.name);
        bool reachable = pool.lent_to == LentTo::nobody;
        for (const SegmentRole role : {SegmentRole::metadata, SegmentRole::data}) {
            Extents next(0);
            for (const SegmentRow& s : TRY(session_.catalog.segments_of(pool.lv.id, role, false))) {
                if (s.start != next)
                    add(fmt::format("{}: extents are missing between {} and {}", name, next,
                                    s.start));
                next = s.start + s.length;
                reachable = reachable && std::ranges::count(unusable_, s.pv_id) == 0;
            }
            if (next == Extents(0)) add(fmt::format("{} has no extents", name));
        }
        if (!reachable) return {};
        const auto state = examine_pool(session_, group_, pool, {});
        if (!state) add(state.error().text);
        else
            for (const std::string& line : state->undecided) add(fmt::format("{}: {}", name, line));
        return {};
    }

    Session& session_;
    const GroupRow& group_;
    std::vector<PvRow> pvs_;
    std::vector<SegmentRow> segments_;
    std::vector<std::int64_t> unusable_;
    std::vector<std::string> empty_logs_;
    GroupFindings found_;
};

}  // namespace

Result<GroupFindings> check_group(Session& session, const GroupRow& group) {
    return Check(session, group).run();
}

}  // namespace thinvol
