#include "libvm/reconcile.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/group_log.h"
#include "libvm/group_settings.h"
#include "libvm/groups.h"
#include "libvm/pool_lending.h"
#include "libvm/rebuild.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

Error outdated(const GroupRow& group, const NewerRows& newer, const GroupRows& here) {
    constexpr std::size_t most = 5;
    std::vector<std::string> lines = differences(here, newer.rows);
    std::string text;
    for (std::size_t i = 0; i < std::min(most, lines.size()); ++i) text += "\n    " + lines[i];
    if (lines.size() > most) text += fmt::format("\n    and {} more", lines.size() - most);
    return {Errc::corrupt,
            fmt::format("the catalog is older than the log of volume group {} on {}: an older copy "
                        "was brought back. Nothing was changed. It lacks:{}\n  tvgreconcile {} "
                        "takes over what the log knows; with --test it only shows it",
                        group.name, newer.from, text, group.name)};
}

// The pool, locked and open to be read, and what differs.
struct OpenedPool {
    FileLock lock;
    PoolRow pool;
    std::unique_ptr<PoolDevices> devices;
    std::optional<PoolDifferences> differences;  // nothing: the next owner ends its operation
};

Result<OpenedPool> open_pool(Session& session, const GroupRow& group, const PoolRow& row) {
    auto lock = TRY(FileLock::try_exclusive(session.environment.lock_path(row.lv.uuid)));
    const PoolRow pool = TRY(session.catalog.pool(row.lv.id));
    OpenedPool opened{std::move(lock), pool, nullptr, std::nullopt};
    TRY(check_not_lent(group, pool));
    const auto pending = TRY(session.catalog.pending(pool.lv.id));
    if (pool.lv.pending) return opened;
    opened.devices =
        TRY(PoolDevices::open(session, group, pool, pending.has_value(), nullptr, true));
    PoolContents contents = TRY(within(fmt::format("pool {}/{}", group.name, pool.lv.name),
                                       contents_of(opened.devices->metadata())));
    const TransactionId in_pool = contents.transaction_id;
    if (!pending || (in_pool != pending->from && in_pool != pending->to))
        opened.differences.emplace(session, group, pool, std::move(contents));
    return opened;
}

// A pool in use is no error.
Result<std::optional<OpenedPool>> open_if_unused(Session& session, const GroupRow& group,
                                                 const PoolRow& row) {
    auto opened = open_pool(session, group, row);
    if (opened) return std::optional(std::move(*opened));
    if (opened.error().code == Errc::busy) return std::optional<OpenedPool>();
    return std::move(opened).error();
}

}  // namespace

Result<> check_group_current(Session& session, const GroupRow& group) {
    const std::int64_t known = TRY(session.catalog.last_change(group.id));
    if (TRY(last_logged_change(session, group)) <= known) return {};
    const auto newer = TRY(newer_rows(session, group));
    if (!newer) return {};  // another process was between its commit and its log
    return outdated(group, *newer, TRY(GroupRows::of(session.catalog, group.id)));
}

Result<> check_group_sound(Session& session, const GroupRow& group) {
    if (std::ranges::count(session.groups_checked, group.id) > 0) return {};
    TRY(check_not_exported(session.catalog, group));
    TRY(check_group_current(session, group));
    session.groups_checked.push_back(group.id);
    return {};
}

Result<> check_group_usable(Session& session, const GroupRow& group) {
    if (std::ranges::count(session.groups_checked, group.id) > 0) return {};
    TRY(check_group_sound(session, group));
    return settle_group(session, group);
}

Result<> check_changeable(Session& session, const GroupRow& group, const PoolRow& pool) {
    TRY(check_not_lent(group, pool));
    return check_group_usable(session, group);
}

Result<std::optional<NewerRows>> newer_rows(Session& session, const GroupRow& group) {
    NewerRows newer;
    newer.last_change = TRY(session.catalog.last_change(group.id));
    for (const PvRow& pv : TRY(session.catalog.pvs(group.id))) {
        const auto scanned = scan_pv(*session.opener, pv.path, LockKind::shared);
        if (!scanned || uuid_text(scanned->label.pv) != pv.uuid ||
            scanned->last_change <= newer.last_change)
            continue;
        newer.rows = TRY(within(fmt::format("the log on {}", pv.path), rows_on(*scanned)));
        newer.last_change = scanned->last_change;
        newer.from = pv.path;
    }
    // Others may have gone on meanwhile: catalog first, then log.
    if (newer.from.empty() || newer.last_change <= TRY(session.catalog.last_change(group.id)))
        return std::optional<NewerRows>();
    return std::optional(std::move(newer));
}

Result<GroupRow> take_newer_rows(Session& session, const NewerRows& newer) {
    auto transaction = TRY(session.catalog.begin());
    const std::int64_t id = TRY(install_group(session.catalog, newer.rows, newer.last_change));
    TRY(std::move(transaction).commit());
    const GroupRow group = TRY(session.catalog.group(id));
    TRY(sync_group_log(session, group));
    return group;
}

Result<PoolState> examine_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                               const PoolDecisions& decisions) {
    PoolState state;
    auto opened = TRY(open_if_unused(session, group, pool));
    state.in_use = !opened;
    if (opened && opened->differences)
        state.undecided = TRY(opened->differences->undecided(decisions));
    return state;
}

Result<PoolState> settle_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                              const PoolDecisions& decisions) {
    PoolState state;
    {
        auto opened = TRY(open_if_unused(session, group, pool));
        state.in_use = !opened;
        if (!opened || !opened->differences) return state;
        if (TRY(opened->differences->undecided({})).empty()) return state;
        const PoolDecisions all = TRY(opened->differences->keeping_all(decisions));
        state.undecided = TRY(opened->differences->undecided(all));
        if (!state.undecided.empty()) return state;
        TRY(opened->differences->settle(all));
    }
    // Opening carries out what is pending.
    TRY(LocalPool::open(session, group, pool));
    TRY(sync_group_log(session, group));
    return state;
}

}  // namespace thinvol
