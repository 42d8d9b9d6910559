#include "libvm/rebuild.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "libvm/group_log.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;

// A group as those of its physical volumes tell it that were found.
struct FoundGroup {
    std::vector<ScannedPv> pvs;
    GroupRows rows;
    std::int64_t last_change = 0;
};

Result<> add_found(std::map<std::string, FoundGroup>& groups, ScannedPv pv) {
    FoundGroup& group = groups[uuid_text(pv.label.group)];
    for (const ScannedPv& other : group.pvs) {
        if (other.path == pv.path) return {};
        if (other.label.pv == pv.label.pv)
            return Error(Errc::exists,
                         fmt::format("{} and {} are the same physical volume, {}: one is a copy; "
                                     "name only the one to be used",
                                     other.path, pv.path, grouped_uuid(uuid_text(pv.label.pv))));
    }
    group.pvs.push_back(std::move(pv));
    return {};
}

// The newest log that can be read.
Result<> read_newest(FoundGroup& group) {
    std::vector<const ScannedPv*> logs;
    for (const ScannedPv& pv : group.pvs) {
        if (pv.last_change > 0) logs.push_back(&pv);
    }
    // The newest first; of equals, the one that was named first.
    std::ranges::sort(logs, [](const ScannedPv* a, const ScannedPv* b) {
        return a->last_change != b->last_change ? a->last_change > b->last_change : a < b;
    });
    Error why(Errc::not_found,
              fmt::format("no log of volume group \"{}\" is on {}: name its other physical volumes "
                          "too",
                          group.pvs.front().label.group_name, group.pvs.front().path));
    for (const ScannedPv* pv : logs) {
        auto rows = within(fmt::format("the log on {}", pv->path), rows_on(*pv));
        if (rows && rows->uuid() != uuid_text(pv->label.group))
            rows = Error(Errc::corrupt,
                         fmt::format("the log on {} is of group {}, its label says {}", pv->path,
                                     rows->uuid(), uuid_text(pv->label.group)));
        if (!rows) {
            why = std::move(rows).error();
            continue;
        }
        group.rows = std::move(*rows);
        group.last_change = pv->last_change;
        return {};
    }
    return why;
}

// Puts the paths where the physical volumes are found into their rows, and looks for those that
// were not named. One that is missing keeps its row.
Result<> match_pvs(FoundGroup& group, std::vector<std::string>& warnings) {
    for (auto& [id, row] : group.rows.table("pv")) {
        const std::string uuid = text_of(row, "uuid");
        const std::string path = text_of(row, "path");
        auto it = std::ranges::find(group.pvs, uuid,
                                    [](const ScannedPv& pv) { return uuid_text(pv.label.pv); });
        if (it == group.pvs.end()) {
            auto scanned = scan_pv(file_opener(), path, LockKind::exclusive);
            if (!scanned || uuid_text(scanned->label.pv) != uuid) {
                warnings.push_back(fmt::format(
                    "physical volume {} of volume group {} is missing: {}", path, group.rows.name(),
                    scanned ? "another one is at its place" : scanned.error().text));
                continue;
            }
            if (scanned->last_change > group.last_change)
                return Error(Errc::corrupt,
                             fmt::format("the log on {} is newer than those named: name it too",
                                         scanned->path));
            group.pvs.push_back(std::move(*scanned));
            it = std::prev(group.pvs.end());
        }
        row["path"] = it->path;
        if (it->size.n < static_cast<std::uint64_t>(number_of(row, "size_sectors")))
            warnings.push_back(
                fmt::format("physical volume {} has {} sectors, its group knows it with {}: it was "
                            "truncated",
                            it->path, it->size, number_of(row, "size_sectors")));
    }
    return {};
}

Result<std::map<std::string, FoundGroup>> find_groups(const std::vector<std::string>& paths,
                                                      std::vector<std::string>& warnings) {
    std::map<std::string, FoundGroup> groups;
    std::vector<std::string> seen;
    for (const std::string& path : paths) {
        auto pv = TRY(scan_pv(file_opener(), path, LockKind::exclusive));
        if (std::ranges::find(seen, pv.path) != seen.end()) continue;
        seen.push_back(pv.path);
        TRY(add_found(groups, std::move(pv)));
    }
    for (auto& [uuid, group] : groups) {
        TRY(read_newest(group));
        TRY(match_pvs(group, warnings));
    }
    return groups;
}

// (3); the catalog goes first: what is left of its WAL is nothing to SQLite without it.
Result<std::string> move_aside(const fs::path& catalog, std::int64_t now) {
    const auto rename = [](const fs::path& from, const fs::path& to) -> Result<> {
        std::error_code error;
        fs::rename(from, to, error);
        if (!error || error == std::errc::no_such_file_or_directory) return {};
        return Error(Errc::io_error, fmt::format("moving {} to {}: {}", from.string(), to.string(),
                                                 error.message()));
    };
    const std::string stem = fmt::format("{}.damaged-{:%Y%m%dT%H%M%S}", catalog.string(),
                                         fmt::gmtime(static_cast<std::time_t>(now)));
    fs::path aside = stem;
    std::error_code ignored;
    for (int n = 1; fs::exists(aside, ignored); ++n) aside = fmt::format("{}.{}", stem, n);
    TRY(rename(catalog, aside));
    TRY(rename(catalog.string() + "-wal", aside.string() + "-wal"));
    fs::remove(catalog.string() + "-shm", ignored);
    const UniqueFd directory(
        ::open(catalog.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0)
        return Error(Errc::io_error,
                     fmt::format("{}: not flushed", catalog.parent_path().string()));
    return aside.string();
}

// Fails for a group that the catalog has, unless it only lacks the place of a physical volume.
Result<> check_unknown(Catalog& catalog, const FoundGroup& group) {
    for (const GroupRow& known : TRY(catalog.groups())) {
        if (known.uuid == group.rows.uuid())
            return Error(
                Errc::exists,
                fmt::format("volume group {} is in the catalog: tvgck {} tells whether all "
                            "is well, tvgreconcile {} settles differences",
                            known.name, known.name, known.name));
    }
    return {};
}

Result<> take_labels(const std::string& environment, FoundGroup& group, bool others_may_use_it,
                     const Confirm& confirm) {
    const std::string name = group.rows.name();
    const bool foreign = std::ranges::any_of(group.pvs, [&](const ScannedPv& pv) {
        return uuid_text(pv.label.environment) != environment;
    });
    const bool given_away = number_of(group.rows.table("vg").begin()->second, "exported") != 0;
    if (foreign && others_may_use_it && !given_away &&
        !confirm(fmt::format("Volume group {} belongs to another environment, which will not be "
                             "able to use it any more. Take it over?",
                             name)))
        return Error(Errc::busy, fmt::format("Volume group {} not taken over.", name));
    for (ScannedPv& pv : group.pvs) {
        if (uuid_text(pv.label.environment) == environment) continue;
        pv.label.environment = *uuid_bytes(environment);
        TRY(within(pv.path, write_label(*pv.opened.queue, pv.label)));
    }
    return {};
}

}  // namespace

Result<ScannedPv> scan_pv(PvOpener& opener, const std::string& path, LockKind lock) {
    ScannedPv pv;
    std::error_code error;
    const fs::path resolved = fs::canonical(path, error);
    if (error) return Error(Errc::not_found, fmt::format("{}: {}", path, error.message()));
    pv.path = resolved.string();
    pv.opened = TRY(opener.open(pv.path, {IoMode::buffered, lock}));
    pv.size = pv.opened.queue->size();
    pv.label = TRY(within(pv.path, read_label(*pv.opened.queue)));
    if (pv.label.log_length > Sectors(0)) {
        const auto log =
            PvLog::open(*pv.opened.queue, pv.label.log_at, pv.label.log_length, pv.label.group);
        if (log) pv.last_change = log->last_change();
    }
    return pv;
}

Result<GroupRows> rows_on(const ScannedPv& pv) {
    auto log =
        TRY(PvLog::open(*pv.opened.queue, pv.label.log_at, pv.label.log_length, pv.label.group));
    return GroupRows::replay(TRY(log.read_all()));
}

Result<std::optional<Error>> catalog_damage(const Environment& environment) {
    const auto damage = [](Error error) -> Result<std::optional<Error>> {
        if (error.code == Errc::corrupt) return std::optional(std::move(error));
        return error;
    };
    auto catalog = Catalog::open_existing(environment);
    if (!catalog) return damage(std::move(catalog).error());
    if (!*catalog) return std::optional<Error>();
    auto check = (*catalog)->database().prepare("PRAGMA quick_check(1)");
    if (!check) return damage(std::move(check).error());
    if (auto row = check->step(); !row) return damage(std::move(row).error());
    if (check->text(0) == "ok") return std::optional<Error>();
    return std::optional(Error(Errc::corrupt, "catalog: " + check->text(0)));
}

Result<RebuiltGroups> rebuild_groups(const Environment& environment,
                                     const std::vector<std::string>& paths,
                                     const Confirm& confirm) {
    RebuiltGroups result;
    const auto damaged = TRY(catalog_damage(environment));
    auto groups = TRY(find_groups(paths, result.warnings));
    const std::int64_t now = std::time(nullptr);
    if (damaged) result.moved_to = TRY(move_aside(environment.catalog_path(), now));
    Session session = TRY(Session::open(environment));
    const bool in_use = !TRY(session.catalog.groups()).empty();
    for (auto& [uuid, group] : groups) {
        TRY(check_unknown(session.catalog, group));
        TRY(take_labels(session.catalog.environment_uuid(), group, in_use, confirm));
    }
    {
        auto transaction = TRY(session.catalog.begin());
        for (const auto& [uuid, group] : groups) {
            TRY(within(fmt::format("volume group {}", group.rows.name()),
                       install_group(session.catalog, group.rows, group.last_change)));
            result.names.push_back(group.rows.name());
        }
        TRY(std::move(transaction).commit());
    }
    groups.clear();  // and with them the locks
    for (const std::string& name : result.names) {
        const GroupRow group = TRY(session.catalog.find_group(name));
        if (auto synced = sync_group_log(session, group); !synced)
            result.warnings.push_back(synced.error().text);
    }
    return result;
}

}  // namespace thinvol
