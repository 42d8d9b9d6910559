#include "libvm/pv_lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "libvm/extents.h"
#include "libvm/group_log.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

bool is_at(Session& session, const PvRow& pv, const std::string& path) {
    const auto opened = session.opener->open(path, {IoMode::buffered, LockKind::shared});
    const auto label = opened ? read_label(*opened->queue) : Result<PvLabel>(opened.error());
    return label && uuid_text(label->pv) == pv.uuid;
}

// Whether the candidate may become a physical volume; asks where something would be lost.
Result<> may_take(Session& session, const PvCandidate& candidate, const Confirm& overwrite) {
    std::string found = candidate.signature;
    if (candidate.label) {
        if (const auto known = TRY(session.catalog.lookup_pv(uuid_text(candidate.label->pv)))) {
            const GroupRow owner = TRY(session.catalog.group(known->vg_id));
            if (known->path == candidate.path || !is_at(session, *known, known->path))
                return Error(Errc::exists,
                             fmt::format("Physical volume '{}' is already in volume group '{}'",
                                         candidate.path, owner.name));
            found = fmt::format("copy of physical volume {} of volume group \"{}\"", known->path,
                                owner.name);
        }
        const bool leftover =
            uuid_text(candidate.label->environment) == session.catalog.environment_uuid();
        if (!leftover && found.empty())
            found =
                fmt::format("thinvol physical volume of volume group \"{}\" of another environment",
                            candidate.label->group_name);
    }
    if (found.empty() || overwrite(fmt::format("WARNING: {} signature detected on {}. Wipe it?",
                                               found, candidate.path)))
        return {};
    return Error(Errc::busy, fmt::format("{} holds a {} signature: not touched. Use -y to wipe it",
                                         candidate.path, found));
}

Result<PvRow> find_among(const std::vector<PvRow>& pvs, const std::string& path,
                         const std::string& where) {
    std::error_code error;
    const std::string resolved = std::filesystem::weakly_canonical(path, error).string();
    const auto it = std::ranges::find_if(
        pvs, [&](const PvRow& pv) { return pv.path == resolved || pv.path == path; });
    if (it != pvs.end()) return *it;
    return Error(Errc::not_found, fmt::format("Physical volume \"{}\" is not in {}", path, where));
}

// Behind the last extent that is used.
Result<Extent> used_end(Session& session, const PvRow& pv) {
    Extent end(0);
    for (const SegmentRow& s : TRY(session.catalog.segments(pv.vg_id))) {
        if (s.pv_id == pv.id) end = std::max(end, s.pv_start + s.length);
    }
    return end;
}

template <class... Values>
Result<> change_row(Session& session, const GroupRow& group, const PvRow& pv, std::string_view sql,
                    const Values&... values) {
    TRY(check_group_usable(session, group));
    auto transaction = TRY(session.catalog.begin());
    TRY(session.catalog.database().run(sql, values..., pv.id));
    return std::move(transaction).commit();
}

// A change of one row, and of the group's log.
template <class... Values>
Result<> change_pv(Session& session, const PvRow& pv, std::string_view sql,
                   const Values&... values) {
    const GroupRow group = TRY(session.catalog.group(pv.vg_id));
    TRY(change_row(session, group, pv, sql, values...));
    return sync_group_log(session, group);
}

}  // namespace

Result<std::vector<PvCandidate>> examine_pvs(Session& session,
                                             const std::vector<std::string>& paths,
                                             Sectors extent_size, const Confirm& overwrite) {
    std::vector<PvCandidate> candidates;
    for (const std::string& path : paths) {
        candidates.push_back(TRY(session.opener->examine(path)));
        const PvCandidate& candidate = candidates.back();
        if (candidate.size < pv_data_start + extent_size) {
            return Error(
                Errc::invalid_argument,
                fmt::format("{} is too small: {} bytes, at least {} are needed", candidate.path,
                            to_bytes(candidate.size), to_bytes(pv_data_start + extent_size)));
        }
        const auto same =
            std::count_if(candidates.begin(), candidates.end(),
                          [&](const PvCandidate& c) { return c.path == candidate.path; });
        if (same > 1)
            return Error(Errc::invalid_argument, fmt::format("{} is named twice", candidate.path));
    }
    for (const PvCandidate& candidate : candidates) TRY(may_take(session, candidate, overwrite));
    return candidates;
}

Result<PreparedPv> prepare_pv(Session& session, const PvCandidate& candidate, const GroupRow& group,
                              bool keeps_log) {
    PreparedPv p;
    p.row.uuid = new_uuid();
    p.row.path = candidate.path;
    p.row.data_start = pv_data_start;
    if (group.extent_size > Sectors(0))
        p.row.extents = Extents((candidate.size - pv_data_start).n / group.extent_size.n);
    p.row.size = candidate.size;
    p.row.io_mode = candidate.io_mode;
    p.row.keeps_log = keeps_log;
    p.row.created = session.now();
    p.opened = TRY(session.opener->open(candidate.path, {candidate.io_mode, LockKind::exclusive}));
    p.label.pv = *uuid_bytes(p.row.uuid);
    p.label.group = uuid_bytes(group.uuid).value_or(UuidBytes{});
    p.label.environment = *uuid_bytes(session.catalog.environment_uuid());
    p.label.size = candidate.size;
    p.label.data_start = pv_data_start;
    p.label.extent_size = group.extent_size;
    p.label.log_at = pv_first_log;
    p.label.log_length = end_of(pv_data_start) - pv_first_log;
    p.label.io_mode = candidate.io_mode;
    p.label.group_name = group.name;
    const auto write = [&]() -> Result<> {
        TRY(p.opened.allocate(Sector(0), pv_data_start));
        TRY(zero_now(*p.opened.queue, Sector(0), pv_data_start));
        TRY(flush_now(*p.opened.queue));
        return write_label(*p.opened.queue, p.label);
    };
    TRY(within(fmt::format("preparing {}", candidate.path), write()));
    return p;
}

Result<std::vector<std::string>> create_pvs(Session& session, const std::vector<std::string>& paths,
                                            const Confirm& overwrite) {
    std::vector<std::string> made;
    for (const PvCandidate& candidate :
         TRY(examine_pvs(session, paths, pv_data_start, overwrite))) {
        GroupRow none;
        none.extent_size = Sectors(0);
        TRY(prepare_pv(session, candidate, none, false));
        made.push_back(candidate.path);
    }
    return made;
}

Result<std::string> remove_pv(Session& session, const std::string& path, const Confirm& sure) {
    const PvCandidate candidate = TRY(session.opener->examine(path));
    if (!candidate.label)
        return Error(Errc::not_found, fmt::format("No PV found on device {}.", candidate.path));
    const auto known = TRY(session.catalog.lookup_pv(uuid_text(candidate.label->pv)));
    if (known && known->path == candidate.path)
        return Error(Errc::busy,
                     fmt::format("PV {} is used by VG {} so please use tvgreduce first.",
                                 candidate.path, TRY(session.catalog.group(known->vg_id)).name));
    const bool others =
        known || uuid_text(candidate.label->environment) != session.catalog.environment_uuid();
    if (others &&
        !sure(fmt::format("{} has the label of a physical volume of volume group \"{}\"{}. "
                          "Remove it?",
                          candidate.path, candidate.label->group_name,
                          known ? ", whose own is at " + known->path : " of another environment")))
        return Error(Errc::busy, fmt::format("Label on {} not removed.", candidate.path));
    const auto opened =
        TRY(session.opener->open(candidate.path, {candidate.io_mode, LockKind::exclusive}));
    TRY(wipe_label(*opened.queue));
    return candidate.path;
}

Result<> wipe_pv(Session& session, const PvRow& pv) {
    const auto opened = TRY(session.opener->open(pv.path, {pv.io_mode, LockKind::exclusive}));
    const PvLabel label = TRY(read_label(*opened.queue));
    if (uuid_text(label.pv) != pv.uuid)
        return Error(Errc::exists,
                     fmt::format("it is another one, of group \"{}\"", label.group_name));
    if (uuid_text(label.environment) != session.catalog.environment_uuid())
        return Error(Errc::exists, "it belongs to another environment");
    return wipe_label(*opened.queue);
}

Result<PvRow> find_pv(Session& session, const std::string& path) {
    return find_among(TRY(session.catalog.pvs(std::nullopt)), path, "a volume group");
}

Result<PvRow> find_pv(Session& session, const GroupRow& group, const std::string& path) {
    return find_among(TRY(session.catalog.pvs(group.id)), path,
                      fmt::format("volume group \"{}\"", group.name));
}

Result<PvRow> resize_pv(Session& session, const PvRow& pv, std::optional<Sectors> size) {
    const GroupRow group = TRY(session.catalog.group(pv.vg_id));
    PvRow row = pv;
    Sectors there{};
    {
        const auto opened = TRY(session.opener->open(pv.path, {pv.io_mode, LockKind::shared}));
        const PvLabel label = TRY(within(pv.path, read_label(*opened.queue)));
        if (uuid_text(label.pv) != pv.uuid)
            return Error(Errc::corrupt,
                         fmt::format("{} is another physical volume, of volume group \"{}\"",
                                     pv.path, label.group_name));
        there = opened.queue->size();
    }
    row.size = size.value_or(there);
    const auto bad = [&](std::string_view why) {
        return Error(Errc::invalid_argument,
                     fmt::format("{} cannot have {} bytes: {}", pv.path, to_bytes(row.size), why));
    };
    if (row.size > there) return bad(fmt::format("the file or device has {}", to_bytes(there)));
    if (row.size < pv.data_start + group.extent_size) return bad("not one extent would be left");
    row.extents = Extents((row.size - pv.data_start).n / group.extent_size.n);
    if (const Extent end = TRY(used_end(session, pv)); end > end_of(row.extents))
        return bad(fmt::format("extents up to {} are in use, {} would be left", end, row.extents));
    // What is allocated meanwhile is refused by the statement itself.
    TRY(change_pv(session, pv,
                  "UPDATE pv SET size_sectors = ?1, extents = ?2 WHERE id = ?3 AND NOT EXISTS "
                  "(SELECT 1 FROM segment WHERE pv_id = ?3 AND pv_start + length > ?2)",
                  static_cast<std::int64_t>(row.size.n), static_cast<std::int64_t>(row.extents.n)));
    const auto now = TRY(session.catalog.lookup_pv(pv.uuid));
    if (!now || now->extents != row.extents) return bad("its tail was taken into use meanwhile");
    return row;
}

Result<> set_allocatable(Session& session, const PvRow& pv, bool allocatable) {
    return change_pv(session, pv, "UPDATE pv SET allocatable = ? WHERE id = ?",
                     std::int64_t{allocatable});
}

Result<> set_pv_paths(Session& session, const std::vector<MovedPv>& moves) {
    std::set<std::string> seen;
    for (const auto& [pv, path] : moves) {
        PvRow moved = pv;
        moved.path = path;
        if (!is_at(session, moved, path))
            return Error(Errc::not_found,
                         fmt::format("{} is not physical volume {}", path, pv.path));
        if (is_at(session, pv, pv.path) || !seen.insert(pv.uuid).second)
            return Error(Errc::exists,
                         fmt::format("{} is a copy of physical volume {}: tvpvremove takes its "
                                     "label off",
                                     path, pv.path));
    }
    // The logs come last: each may be on another one of those that moved.
    std::set<std::int64_t> groups;
    for (const auto& [pv, path] : moves) {
        const GroupRow group = TRY(session.catalog.group(pv.vg_id));
        TRY(change_row(session, group, pv, "UPDATE pv SET path = ? WHERE id = ?", path));
        groups.insert(group.id);
    }
    for (const std::int64_t id : groups) {
        const GroupRow group = TRY(session.catalog.group(id));
        TRY(sync_group_log(session, group));
    }
    return {};
}

}  // namespace thinvol
