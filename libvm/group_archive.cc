#include "libvm/group_archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "libvm/group_log.h"
#include "libvm/rebuild.h"
#include "libvm/reconcile.h"

namespace thinvol {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t most_files = 10;
constexpr std::int64_t oldest_s = 30LL * 24 * 60 * 60;
constexpr std::uint64_t most_changes = 1 << 20;  // bytes, or as much as the rows themselves

fs::path directory_of(const Environment& environment, const std::string& uuid) {
    return environment.state_dir / "archive" / uuid;
}

struct Step {
    std::int64_t at = 0;
    std::int64_t time = 0;
    std::uint64_t rows = 0;  // bytes of the file's first step
};

std::string step_line(const Step& step) {
    return fmt::format("{{\"at\":{},\"time\":{},\"rows\":{}}}\n", step.at, step.time, step.rows);
}

std::optional<Step> parse_step(std::string_view line) {
    const Json j = Json::parse(line, nullptr, false);
    if (!j.is_object() || !j.contains("at")) return std::nullopt;
    return Step{j.value("at", std::int64_t{0}), j.value("time", std::int64_t{0}),
                j.value("rows", std::uint64_t{0})};
}

// Names are numbers of equal length: in order of age.
std::vector<fs::path> files_of(const fs::path& directory) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        if (entry.path().extension() == ".rows") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

Error failed(const fs::path& path) {
    return {errno == ENOSPC || errno == EDQUOT ? Errc::out_of_space : Errc::io_error,
            fmt::format("automatic backup {}: {}", path.string(), std::strerror(errno))};
}

Result<> write_text(int fd, const fs::path& path, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(path);
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

// A file whose last step is whole.
struct Tail {
    fs::path path;
    Step step;
    std::uint64_t size = 0;
};
std::optional<Tail> tail_of(const fs::path& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0) return std::nullopt;
    std::array<char, 512> buffer;
    const auto size = static_cast<std::uint64_t>(st.st_size);
    const std::uint64_t start = size - std::min<std::uint64_t>(size, buffer.size());
    const ssize_t n = ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(start));
    if (n <= 0 || buffer[static_cast<std::size_t>(n) - 1] != '\n') return std::nullopt;
    std::string_view text(buffer.data(), static_cast<std::size_t>(n) - 1);
    const auto step = parse_step(text.substr(text.rfind('\n') + 1));
    if (!step) return std::nullopt;
    return Tail{path, *step, size};
}

// (3); the newest stays.
void prune(std::vector<fs::path> files, std::int64_t now) {
    if (files.empty()) return;
    files.pop_back();
    for (std::size_t i = 0; i < files.size(); ++i) {
        struct stat st{};
        const bool old = ::stat(files[i].c_str(), &st) == 0 && st.st_mtime < now - oldest_s;
        if (old || files.size() - i >= most_files) ::unlink(files[i].c_str());
    }
}

Result<> begin_file(Session& session, const GroupRow& group, const fs::path& directory) {
    TRY(make_private_directory(session.environment.state_dir / "archive"));
    TRY(make_private_directory(directory));
    const std::string text = TRY(backup_text(session, group));
    const auto files = files_of(directory);
    const std::uint64_t number =
        files.empty() ? 1 : std::strtoull(files.back().stem().c_str(), nullptr, 10) + 1;
    const fs::path path = directory / fmt::format("{:08}.rows", number);
    const fs::path fresh = directory / "new";
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return failed(fresh);
    TRY(write_text(fd.get(), fresh, text));
    if (::rename(fresh.c_str(), path.c_str()) != 0) return failed(path);
    prune(files_of(directory), session.now());
    return {};
}

// Calls visit(step, rows) after each step of a file, until it says no.
template <class Visit>
Result<> replay_file(const std::string& path, Visit&& visit) {
    std::ifstream in(path);
    if (!in) return Error(Errc::not_found, fmt::format("{}: {}", path, std::strerror(errno)));
    GroupRows rows;
    std::string line;
    while (std::getline(in, line)) {
        const auto step = parse_step(line);
        if (!step) {
            TRY(within(path, rows.apply(line)));
            continue;
        }
        TRY(within(path, rows.check()));
        if (!TRY(visit(*step, rows))) return {};
    }
    return {};
}

Result<std::vector<fs::path>> files_of_name(Session& session, const std::string& name) {
    for (const GroupRow& group : TRY(session.catalog.groups())) {
        if (group.name == name) return files_of(directory_of(session.environment, group.uuid));
    }
    // A group that is gone: by the name it had.
    std::error_code error;
    for (const auto& entry :
         fs::directory_iterator(session.environment.state_dir / "archive", error)) {
        const auto files = files_of(entry.path());
        bool same = false;
        if (!files.empty())
            TRY(replay_file(files.back(), [&](const Step&, const GroupRows& rows) -> Result<bool> {
                same = rows.name() == name;
                return true;
            }));
        if (same) return files;
    }
    return Error(Errc::not_found, fmt::format("no backup of a volume group \"{}\" is there", name));
}

// --- restoring -----------------------------------------------------------------------------------

// Its pools must not be in use, neither those there are nor those that come back.
Result<> check_idle(Session& session, const GroupRows& rows) {
    for (const auto& [id, row] : rows.table("pool")) {
        const auto lv = rows.table("lv").find(id);
        if (lv == rows.table("lv").end()) continue;
        const auto lock =
            FileLock::try_exclusive(session.environment.lock_path(text_of(lv->second, "uuid")));
        if (!lock)
            return Error(Errc::busy,
                         fmt::format("pool {}/{} is in use: tvchange -an {}", rows.name(),
                                     text_of(lv->second, "name"), rows.name()));
    }
    return {};
}

// A group that was removed has no labels any more; they are written where nothing else is.
Result<> write_labels(Session& session, const GroupRows& rows) {
    const auto group = *uuid_bytes(rows.uuid());
    for (const auto& [id, row] : rows.table("pv")) {
        const std::string path = text_of(row, "path");
        const PvCandidate candidate = TRY(session.opener->examine(path));
        if (candidate.label && uuid_text(candidate.label->pv) == text_of(row, "uuid")) continue;
        if (candidate.label || !candidate.signature.empty())
            return Error(Errc::exists, fmt::format("{} is something else now", path));
        const auto sectors = [&](const char* column) {
            return Sectors(static_cast<std::uint64_t>(number_of(row, column)));
        };
        PvLabel label;
        label.pv = uuid_bytes(text_of(row, "uuid")).value_or(UuidBytes{});
        label.group = group;
        label.environment = *uuid_bytes(session.catalog.environment_uuid());
        label.size = sectors("size_sectors");
        label.data_start = sectors("data_start_sectors");
        label.extent_size = Sectors(static_cast<std::uint64_t>(
            number_of(rows.table("vg").begin()->second, "extent_sectors")));
        label.log_at = pv_first_log;
        label.log_length = end_of(pv_data_start) - pv_first_log;
        label.io_mode = text_of(row, "io_mode") == "direct" ? IoMode::direct : IoMode::buffered;
        label.group_name = rows.name();
        const auto opened = TRY(session.opener->open(path, {label.io_mode, LockKind::exclusive}));
        TRY(within(path, write_label(*opened.queue, label)));
    }
    return {};
}

// Ids that were given stay given; the number of the last change that anybody knows.
Result<std::int64_t> keep_numbers(Session& session, GroupRows& rows, const GroupRows* now,
                                  std::int64_t change) {
    for (const auto& [id, row] : rows.table("pv")) {
        const auto pv = scan_pv(*session.opener, text_of(row, "path"), LockKind::shared);
        if (pv && uuid_text(pv->label.pv) == text_of(row, "uuid"))
            change = std::max(change, pv->last_change);
    }
    if (now == nullptr) return change;
    for (auto& [id, row] : rows.table("pool")) {
        const auto it = now->table("pool").find(id);
        if (it == now->table("pool").end()) continue;
        row["next_thin_id"] =
            std::max(number_of(row, "next_thin_id"), number_of(it->second, "next_thin_id"));
    }
    return change;
}

}  // namespace

Result<std::string> backup_text(Session& session, const GroupRow& group) {
    TRY(session.catalog.begin_reading());
    const auto read = [&]() -> Result<std::string> {
        std::string text;
        const std::int64_t at = TRY(session.catalog.last_change(group.id));
        for (const auto& row : TRY(session.catalog.all_rows(group.id))) text += row.json + '\n';
        return text + step_line({at, session.now(), text.size()});
    };
    auto text = read();
    TRY(session.catalog.end_reading());
    return text;
}

Result<> archive_changes(Session& session, const GroupRow& group) {
    if (!session.environment.sqlite_vfs.empty()) return {};  // a simulated disk has no directories
    const fs::path directory = directory_of(session.environment, group.uuid);
    const auto files = files_of(directory);
    const auto tail = files.empty() ? std::nullopt : tail_of(files.back());
    const std::int64_t last = TRY(session.catalog.last_change(group.id));
    if (tail && tail->step.at == last) return {};
    std::optional<std::vector<Catalog::Change>> changes;
    if (tail && tail->step.at < last &&
        tail->size < tail->step.rows + std::max(tail->step.rows, most_changes))
        changes = TRY(session.catalog.changes_after(group.id, tail->step.at));
    if (!changes || changes->empty()) return begin_file(session, group, directory);
    std::string text;
    for (const auto& change : *changes) text += change.json + '\n';
    text += step_line({changes->back().seq, session.now(), tail->step.rows});
    const UniqueFd fd(::open(tail->path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!fd) return failed(tail->path);
    return write_text(fd.get(), tail->path, text);
}

Result<std::vector<ArchivedStep>> archived_steps(Session& session, const std::string& group) {
    std::vector<ArchivedStep> steps;
    for (const fs::path& file : TRY(files_of_name(session, group))) {
        std::optional<GroupRows> before;
        const auto visit = [&](const Step& step, const GroupRows& rows) -> Result<bool> {
            steps.push_back({file.string(), step.at, step.time,
                             before ? differences(*before, rows) : std::vector<std::string>()});
            before = rows;
            return true;
        };
        // A torn end leaves the steps before it.
        if (auto read = replay_file(file, visit); !read && read.error().code != Errc::corrupt)
            return std::move(read).error();
    }
    return steps;
}

Result<BackedUp> read_backup(const std::string& file, std::optional<std::int64_t> change) {
    BackedUp found;
    const auto visit = [&](const Step& step, const GroupRows& rows) -> Result<bool> {
        if (change && step.at > *change) return false;
        found.rows = rows;
        found.change = step.at;
        return true;
    };
    auto read = replay_file(file, visit);
    if (!read && (read.error().code != Errc::corrupt || found.change == 0))
        return std::move(read).error();
    if (found.rows.uuid().empty() || (change && found.change != *change))
        return Error(Errc::not_found, fmt::format("{} has no {}", file,
                                                  change ? fmt::format("change {}", *change)
                                                         : std::string("backup in it")));
    return found;
}

Result<std::vector<std::string>> restore_group(Session& session, BackedUp backup, bool force) {
    Catalog& catalog = session.catalog;
    const std::string name = backup.rows.name();
    if (!backup.rows.table("pool").empty() && !force)
        return Error(Errc::busy,
                     fmt::format("Consider using option --force to restore Volume Group {} with "
                                 "thin volumes: their pools' metadata are in no backup; where they "
                                 "differ, tvgreconcile {} settles it",
                                 name, name));
    std::optional<GroupRows> now;
    std::int64_t change = backup.change;
    for (const GroupRow& group : TRY(catalog.groups())) {
        if (group.uuid != backup.rows.uuid()) continue;
        now = TRY(GroupRows::of(catalog, group.id));
        TRY(check_idle(session, *now));
        change = std::max(change, TRY(catalog.last_change(group.id)));
    }
    TRY(check_idle(session, backup.rows));
    TRY(write_labels(session, backup.rows));
    change = TRY(keep_numbers(session, backup.rows, now ? &*now : nullptr, change));
    auto transaction = TRY(catalog.begin());
    const std::int64_t id = TRY(install_group(catalog, std::move(backup.rows), change));
    TRY(std::move(transaction).commit());
    const GroupRow group = TRY(catalog.group(id));
    std::vector<std::string> warnings;
    if (auto synced = sync_group_log(session, group); !synced)
        warnings.push_back(synced.error().text);
    for (const PoolRow& pool : TRY(catalog.pools(id))) {
        const auto state = examine_pool(session, group, pool, {});
        const auto warn = [&](const std::string& text) {
            warnings.push_back(fmt::format("{}/{}: {}", group.name, pool.lv.name, text));
        };
        if (!state) warn(state.error().text);
        else if (!state->undecided.empty())
            warn(fmt::format("it went on since: {}; tvgreconcile --test {} shows all of it",
                             state->undecided.front(), group.name));
    }
    return warnings;
}

}  // namespace thinvol
