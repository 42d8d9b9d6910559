#include "libvm/catalog.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <functional>

#include "libvm/catalog_schema.h"
#include "libvm/catalog_vfs.h"
#include "libvm/names.h"

namespace thinvol {
namespace {

template <class E, std::size_t n>
using Words = std::array<std::pair<E, std::string_view>, n>;

constexpr Words<IoMode, 2> io_modes{{{IoMode::buffered, "buffered"}, {IoMode::direct, "direct"}}};
constexpr Words<LvKind, 3> lv_kinds{
    {{LvKind::pool, "pool"}, {LvKind::thin, "thin"}, {LvKind::spare, "spare"}}};
constexpr Words<Discards, 3> discards_words{{{Discards::passdown, "passdown"},
                                             {Discards::nopassdown, "nopassdown"},
                                             {Discards::ignore, "ignore"}}};
constexpr Words<LentTo, 2> lent_words{{{LentTo::nobody, "nobody"}, {LentTo::kernel, "kernel"}}};
constexpr Words<SegmentRole, 4> segment_roles{{{SegmentRole::data, "data"},
                                               {SegmentRole::metadata, "metadata"},
                                               {SegmentRole::spare, "spare"},
                                               {SegmentRole::log, "log"}}};

template <class E, std::size_t n>
std::string_view word_of(const Words<E, n>& words, E value) {
    for (const auto& [v, word] : words) {
        if (v == value) return word;
    }
    assertion_failed("not reached", __FILE__, __LINE__);
}
// The schema's CHECKs allow no other words.
template <class E, std::size_t n>
E value_of(const Words<E, n>& words, std::string_view word) {
    for (const auto& [v, w] : words) {
        if (w == word) return v;
    }
    return words.front().first;
}

std::uint64_t unsigned_of(const Statement& s, int column) {
    return static_cast<std::uint64_t>(s.integer(column));
}
std::int64_t signed_of(std::uint64_t v) { return static_cast<std::int64_t>(v); }

constexpr const char* group_columns = "id, uuid, name, extent_sectors, created";
GroupRow read_group(const Statement& s) {
    return {s.integer(0), s.text(1), s.text(2), Sectors(unsigned_of(s, 3)), s.integer(4)};
}

constexpr const char* pv_columns =
    "id, vg_id, uuid, path, size_sectors, data_start_sectors, extents, io_mode, keeps_log, "
    "allocatable, created";
PvRow read_pv(const Statement& s) {
    return {s.integer(0),
            s.integer(1),
            s.text(2),
            s.text(3),
            Sectors(unsigned_of(s, 4)),
            Sectors(unsigned_of(s, 5)),
            Extents(unsigned_of(s, 6)),
            value_of(io_modes, s.view(7)),
            s.integer(8) != 0,
            s.integer(9) != 0,
            s.integer(10)};
}

constexpr const char* lv_columns =
    "lv.id, lv.vg_id, lv.uuid, lv.name, lv.kind, lv.read_only, lv.pending, lv.created";
LvRow read_lv(const Statement& s) {
    return {
        s.integer(0),      s.integer(1),      s.text(2),   s.text(3), value_of(lv_kinds, s.view(4)),
        s.integer(5) != 0, s.integer(6) != 0, s.integer(7)};
}

// Pools first, in this order: they are few, volumes may be many.
const std::string pool_query = fmt::format(
    "SELECT {}, chunk_sectors, transaction_id, next_thin_id, zero, discards, error_when_full, "
    "no_space_timeout, lent_to FROM pool CROSS JOIN lv USING(id) ",
    lv_columns);
PoolRow read_pool(const Statement& s) {
    return {read_lv(s),
            Sectors(unsigned_of(s, 8)),
            {unsigned_of(s, 9)},
            static_cast<std::uint32_t>(s.integer(10)),
            s.integer(11) != 0,
            value_of(discards_words, s.view(12)),
            s.integer(13) != 0,
            s.integer(14),
            value_of(lent_words, s.view(15))};
}

const std::string thin_query = fmt::format(
    "SELECT {}, pool_id, thin_id, size_bytes, origin_id, skip_activation, merging, "
    "external_origin FROM thin "
    "JOIN lv USING(id) ",
    lv_columns);
ThinRow read_thin(const Statement& s) {
    return {read_lv(s),
            s.integer(8),
            ThinId::checked(unsigned_of(s, 9) & ThinId::max),
            Bytes(unsigned_of(s, 10)),
            s.integer(11),
            s.integer(12) != 0,
            static_cast<Merging>(std::clamp<std::int64_t>(s.integer(13), 0, 2)),
            s.is_null(14) ? "" : s.text(14)};
}

constexpr const char* segment_columns =
    "id, vg_id, lv_id, role, start, length, pv_id, pv_start, pending";
SegmentRow read_segment(const Statement& s) {
    return {s.integer(0),
            s.integer(1),
            s.integer(2),
            value_of(segment_roles, s.view(3)),
            Extents(unsigned_of(s, 4)),
            Extents(unsigned_of(s, 5)),
            s.integer(6),
            Extent(unsigned_of(s, 7)),
            s.integer(8) != 0};
}

// All rows of a query.
template <class Row, class... Values>
Result<std::vector<Row>> rows(Database& db, Row (*read)(const Statement&), const std::string& sql,
                              const Values&... values) {
    Statement statement = TRY(db.prepare(sql));
    (statement.bind(values), ...);
    std::vector<Row> found;
    while (TRY(statement.step())) found.push_back(read(statement));
    return found;
}
template <class Row, class... Values>
Result<std::optional<Row>> row(Database& db, Row (*read)(const Statement&), const std::string& sql,
                               const Values&... values) {
    Statement statement = TRY(db.prepare(sql));
    (statement.bind(values), ...);
    if (!TRY(statement.step())) return std::optional<Row>();
    return std::optional<Row>(read(statement));
}
template <class Row>
Result<Row> required(Result<std::optional<Row>>&& found, const std::string& what) {
    if (!found) return std::move(found).error();
    if (!*found) return Error(Errc::not_found, what);
    return std::move(**found);
}

Error with_way_out(Error error) {
    if (error.code == Errc::corrupt)
        error.text +=
            ": tvgscan --rebuild PV... makes it anew from the physical volumes, and keeps "
            "this one";
    return error;
}

std::string vfs_of(const Environment& environment) {
    return environment.sqlite_vfs.empty() ? catalog_vfs() : environment.sqlite_vfs;
}

}  // namespace

// --- opening -------------------------------------------------------------------------------------

Result<Catalog> Catalog::open(const Environment& environment) {
    if (environment.sqlite_vfs.empty()) {
        TRY(make_private_directory(environment.state_dir));
        TRY(make_private_directory(environment.state_dir / "locks"));
        TRY(check_local_file_system(environment.state_dir));
    }
    Catalog catalog(TRY(
        Database::open(environment.catalog_path(), {.create = true, .vfs = vfs_of(environment)})));
    if (auto prepared = catalog.prepare(true); !prepared) return with_way_out(prepared.error());
    return catalog;
}

Result<std::optional<Catalog>> Catalog::open_existing(const Environment& environment) {
    std::error_code error;
    if (!std::filesystem::exists(environment.catalog_path(), error))
        return std::optional<Catalog>();
    Catalog catalog(TRY(Database::open(environment.catalog_path(), {.vfs = vfs_of(environment)})));
    if (auto prepared = catalog.prepare(false); !prepared) return with_way_out(prepared.error());
    return std::optional(std::move(catalog));
}

Result<> Catalog::prepare(bool may_create) {
    constexpr int wait_ms = 10000;
    constexpr int checkpoint_pages =
        256;  // keeps the recovery of a left-over WAL below a millisecond
    sqlite3_busy_timeout(db_.handle(), wait_ms);
    // A short command leaves the WAL to the next one: a checkpoint costs two flushes.
    sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    TRY(db_.execute(fmt::format(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
        "PRAGMA wal_autocheckpoint = {};",
        checkpoint_pages)));
    if (may_create || TRY(db_.number("PRAGMA user_version")) != catalog_version) TRY(migrate(db_));
    Statement statement = TRY(db_.prepare("SELECT value FROM meta WHERE key = 'environment'"));
    if (!TRY(statement.step()))
        return Error(Errc::corrupt, "catalog: the environment's id is missing");
    environment_uuid_ = statement.text(0);
    return {};
}

// --- reading -------------------------------------------------------------------------------------

Result<std::vector<GroupRow>> Catalog::groups() {
    return rows(db_, read_group, fmt::format("SELECT {} FROM vg ORDER BY name", group_columns));
}
Result<GroupRow> Catalog::find_group(std::string_view name) {
    return required(
        row(db_, read_group, fmt::format("SELECT {} FROM vg WHERE name = ?", group_columns), name),
        fmt::format("Volume group \"{}\" not found", name));
}
Result<GroupRow> Catalog::group(std::int64_t id) {
    return required(
        row(db_, read_group, fmt::format("SELECT {} FROM vg WHERE id = ?", group_columns), id),
        "the volume group is gone");
}
Result<std::vector<PvRow>> Catalog::pvs(std::optional<std::int64_t> vg_id) {
    if (!vg_id)
        return rows(db_, read_pv, fmt::format("SELECT {} FROM pv ORDER BY path", pv_columns));
    return rows(db_, read_pv,
                fmt::format("SELECT {} FROM pv WHERE vg_id = ? ORDER BY id", pv_columns), *vg_id);
}
Result<std::optional<PvRow>> Catalog::lookup_pv(std::string_view uuid) {
    return row(db_, read_pv, fmt::format("SELECT {} FROM pv WHERE uuid = ?", pv_columns), uuid);
}
Result<std::optional<LvRow>> Catalog::lookup_lv(std::int64_t vg_id, std::string_view name) {
    return row(db_, read_lv,
               fmt::format("SELECT {} FROM lv WHERE vg_id = ? AND name = ?", lv_columns), vg_id,
               name);
}
Result<LvRow> Catalog::find_lv(const GroupRow& group, std::string_view name) {
    return required(
        row(db_, read_lv,
            fmt::format("SELECT {} FROM lv WHERE vg_id = ? AND name = ? AND NOT pending",
                        lv_columns),
            group.id, name),
        fmt::format("Failed to find logical volume \"{}/{}\"", group.name, name));
}
Result<PoolRow> Catalog::pool(std::int64_t lv_id) {
    return required(row(db_, read_pool, pool_query + "WHERE lv.id = ?", lv_id), "the pool is gone");
}
Result<std::optional<PoolRow>> Catalog::lookup_pool(std::string_view uuid) {
    return row(db_, read_pool, pool_query + "WHERE lv.uuid = ?", uuid);
}
Result<ThinRow> Catalog::thin(std::int64_t lv_id) {
    return required(row(db_, read_thin, thin_query + "WHERE lv.id = ?", lv_id),
                    "the volume is gone");
}
Result<std::vector<PoolRow>> Catalog::pools(std::int64_t vg_id) {
    return rows(db_, read_pool, pool_query + "WHERE lv.vg_id = ? AND NOT pending ORDER BY name",
                vg_id);
}
Result<std::vector<PoolRow>> Catalog::unfinished_pools(std::int64_t vg_id) {
    return rows(
        db_, read_pool,
        pool_query + "WHERE lv.vg_id = ? AND (lv.pending OR lv.id IN (SELECT id FROM pending))",
        vg_id);
}
Result<std::vector<ThinRow>> Catalog::thins(std::int64_t vg_id) {
    return rows(db_, read_thin, thin_query + "WHERE lv.vg_id = ? AND NOT pending ORDER BY name",
                vg_id);
}
Result<std::vector<ThinRow>> Catalog::thins_of_pool(std::int64_t pool_id, bool with_pending) {
    return rows(db_, read_thin,
                thin_query + "WHERE pool_id = ? AND (NOT pending OR ?) ORDER BY name", pool_id,
                std::int64_t{with_pending});
}
Result<std::optional<LvRow>> Catalog::spare(std::int64_t vg_id) {
    // By its segments, which are few, before a search among all volumes.
    auto found = TRY(row(
        db_, read_lv,
        fmt::format("SELECT {} FROM lv WHERE kind = 'spare' AND name LIKE '%_pmspare' AND id IN "
                    "(SELECT lv_id FROM segment WHERE vg_id = ? AND role = 'spare')",
                    lv_columns),
        vg_id));
    if (found) return found;
    return row(db_, read_lv,
               fmt::format("SELECT {} FROM lv WHERE vg_id = ? AND kind = 'spare' AND name LIKE "
                           "'%_pmspare'",
                           lv_columns),
               vg_id);
}
Result<std::vector<SegmentRow>> Catalog::segments(std::int64_t vg_id) {
    return rows(db_, read_segment,
                fmt::format("SELECT {} FROM segment WHERE vg_id = ? ORDER BY pv_id, pv_start",
                            segment_columns),
                vg_id);
}
Result<std::vector<SegmentRow>> Catalog::segments_of(std::int64_t lv_id, SegmentRole role,
                                                     bool with_pending) {
    return rows(db_, read_segment,
                fmt::format("SELECT {} FROM segment WHERE lv_id = ? AND role = ? AND (NOT pending "
                            "OR ?) ORDER BY start",
                            segment_columns),
                lv_id, word_of(segment_roles, role), std::int64_t{with_pending});
}
Result<std::optional<PendingRow>> Catalog::pending(std::int64_t pool_id) {
    return row<PendingRow>(
        db_,
        [](const Statement& s) {
            return PendingRow{s.integer(0),        s.text(1), {unsigned_of(s, 2)},
                              {unsigned_of(s, 3)}, s.text(4), s.text(5)};
        },
        "SELECT id, request, from_id, to_id, operation, answer FROM pending WHERE id = ?", pool_id);
}
Result<std::optional<std::string>> Catalog::answer(std::string_view request) {
    return row<std::string>(
        db_, [](const Statement& s) { return s.text(0); },
        "SELECT answer FROM answer WHERE request = ?", request);
}

// --- changing ------------------------------------------------------------------------------------

Result<std::int64_t> Catalog::add_group(const GroupRow& r) {
    TRY(db_.run("INSERT INTO vg(uuid, name, extent_sectors, created) VALUES(?, ?, ?, ?)", r.uuid,
                r.name, signed_of(r.extent_size.n), r.created));
    return db_.last_id();
}
Result<std::int64_t> Catalog::add_pv(const PvRow& r) {
    TRY(
        db_.run("INSERT INTO pv(vg_id, uuid, path, size_sectors, data_start_sectors, extents, "
                "io_mode, keeps_log, created) VALUES(?,?,?,?,?,?,?,?,?)",
                r.vg_id, r.uuid, r.path, signed_of(r.size.n), signed_of(r.data_start.n),
                signed_of(r.extents.n), word_of(io_modes, r.io_mode), std::int64_t{r.keeps_log},
                r.created));
    return db_.last_id();
}
static Result<std::int64_t> add_lv(Database& db, const LvRow& r) {
    TRY(
        db.run("INSERT INTO lv(vg_id, uuid, name, kind, read_only, pending, created) "
               "VALUES(?,?,?,?,?,?,?)",
               r.vg_id, r.uuid, r.name, word_of(lv_kinds, r.kind), std::int64_t{r.read_only},
               std::int64_t{r.pending}, r.created));
    return db.last_id();
}
Result<std::int64_t> Catalog::add_pool(const PoolRow& r) {
    const std::int64_t id = TRY(add_lv(db_, r.lv));
    TRY(db_.run(
        "INSERT INTO pool(id, vg_id, chunk_sectors, transaction_id, next_thin_id, zero, discards, "
        "error_when_full, no_space_timeout) VALUES(?,?,?,?,?,?,?,?,?)",
        id, r.lv.vg_id, signed_of(r.chunk_size.n), signed_of(r.transaction_id.n),
        std::int64_t{r.next_thin_id}, std::int64_t{r.zero}, word_of(discards_words, r.discards),
        std::int64_t{r.error_when_full}, r.no_space_timeout));
    return id;
}
Result<std::int64_t> Catalog::add_thin(const ThinRow& r) {
    const std::int64_t id = TRY(add_lv(db_, r.lv));
    Statement statement =
        TRY(db_.prepare("INSERT INTO thin(id, vg_id, pool_id, thin_id, size_bytes, origin_id, "
                        "skip_activation, external_origin) VALUES(?,?,?,?,?,?,?,?)"));
    statement.bind(id).bind(r.lv.vg_id).bind(r.pool_id).bind(std::int64_t{r.thin_id.n()});
    statement.bind(signed_of(r.size.n));
    statement.bind(r.origin_id == 0 ? std::optional<std::int64_t>() : std::optional(r.origin_id));
    statement.bind(std::int64_t{r.skip_activation});
    if (r.external_origin.empty()) statement.bind(nullptr);
    else statement.bind(std::string_view(r.external_origin));
    TRY(statement.step());
    return id;
}
Result<std::int64_t> Catalog::add_spare(const LvRow& r) { return add_lv(db_, r); }
Result<std::int64_t> Catalog::add_segment(const SegmentRow& r) {
    TRY(
        db_.run("INSERT INTO segment(vg_id, lv_id, role, start, length, pv_id, pv_start, pending) "
                "VALUES(?,?,?,?,?,?,?,?)",
                r.vg_id, r.lv_id == 0 ? std::optional<std::int64_t>() : std::optional(r.lv_id),
                word_of(segment_roles, r.role), signed_of(r.start.n), signed_of(r.length.n),
                r.pv_id, signed_of(r.pv_start.n), std::int64_t{r.pending}));
    return db_.last_id();
}
Result<> Catalog::remove_group(std::int64_t id) {
    TRY(db_.run("DELETE FROM segment WHERE vg_id = ?", id));
    TRY(db_.run("DELETE FROM pv WHERE vg_id = ?", id));
    return db_.run("DELETE FROM vg WHERE id = ?", id);
}
Result<> Catalog::remove_pv(std::int64_t id) { return db_.run("DELETE FROM pv WHERE id = ?", id); }
Result<> Catalog::set_keeps_log(std::int64_t pv_id) {
    return db_.run("UPDATE pv SET keeps_log = 1 WHERE id = ?", pv_id);
}
Result<> Catalog::remove_lv(std::int64_t id) { return db_.run("DELETE FROM lv WHERE id = ?", id); }
Result<> Catalog::remove_segment(std::int64_t id) {
    return db_.run("DELETE FROM segment WHERE id = ?", id);
}
Result<> Catalog::rename_lv(std::int64_t id, std::string_view name) {
    return db_.run("UPDATE lv SET name = ? WHERE id = ?", name, id);
}
Result<> Catalog::rename_group(std::int64_t id, std::string_view name) {
    return db_.run("UPDATE vg SET name = ? WHERE id = ?", name, id);
}
Result<> Catalog::set_read_only(std::int64_t lv_id, bool read_only) {
    return db_.run("UPDATE lv SET read_only = ? WHERE id = ?", std::int64_t{read_only}, lv_id);
}
Result<> Catalog::set_skip_activation(std::int64_t lv_id, bool skip) {
    return db_.run("UPDATE thin SET skip_activation = ? WHERE id = ?", std::int64_t{skip}, lv_id);
}
Result<> Catalog::set_pool_settings(const PoolRow& r) {
    return db_.run(
        "UPDATE pool SET zero = ?, discards = ?, error_when_full = ?, no_space_timeout = ? WHERE "
        "id = ?",
        std::int64_t{r.zero}, word_of(discards_words, r.discards), std::int64_t{r.error_when_full},
        r.no_space_timeout, r.lv.id);
}
Result<> Catalog::set_thin_size(std::int64_t id, Bytes size) {
    return db_.run("UPDATE thin SET size_bytes = ? WHERE id = ?", signed_of(size.n), id);
}
Result<> Catalog::set_next_thin_id(std::int64_t pool_id, std::uint32_t next) {
    return db_.run("UPDATE pool SET next_thin_id = ? WHERE id = ?", std::int64_t{next}, pool_id);
}
Result<> Catalog::set_transaction_id(std::int64_t pool_id, TransactionId id) {
    return db_.run("UPDATE pool SET transaction_id = ? WHERE id = ?", signed_of(id.n), pool_id);
}
Result<> Catalog::set_lent_to(std::int64_t pool_id, LentTo to) {
    return db_.run("UPDATE pool SET lent_to = ? WHERE id = ?", word_of(lent_words, to), pool_id);
}
Result<> Catalog::confirm_lv(std::int64_t id) {
    return db_.run("UPDATE lv SET pending = 0 WHERE id = ?", id);
}
Result<> Catalog::confirm_segments(std::int64_t lv_id) {
    return db_.run("UPDATE segment SET pending = 0 WHERE lv_id = ? AND pending", lv_id);
}
Result<> Catalog::remove_pending_segments(std::int64_t lv_id) {
    return db_.run("DELETE FROM segment WHERE lv_id = ? AND pending", lv_id);
}
Result<> Catalog::set_pending(const PendingRow& r) {
    return db_.run(
        "INSERT INTO pending(id, vg_id, request, from_id, to_id, operation, answer) SELECT ?1, "
        "vg_id, ?2, ?3, ?4, ?5, ?6 FROM pool WHERE id = ?1",
        r.pool_id, r.request, signed_of(r.from.n), signed_of(r.to.n), r.operation, r.answer);
}
Result<> Catalog::clear_pending(std::int64_t pool_id) {
    return db_.run("DELETE FROM pending WHERE id = ?", pool_id);
}
Result<> Catalog::remember_answer(std::string_view request, std::string_view answer) {
    constexpr std::int64_t kept = 1000;
    TRY(db_.run("INSERT OR IGNORE INTO answer(request, answer) VALUES(?, ?)", request, answer));
    return db_.run("DELETE FROM answer WHERE id <= (SELECT max(id) FROM answer) - ?", kept);
}
Result<> Catalog::check_new_name(const GroupRow& group, std::string_view name) {
    TRY(check_volume_name(name));
    if (!TRY(lookup_lv(group.id, name))) return {};
    return Error(Errc::exists,
                 fmt::format("Logical Volume \"{}\" already exists in volume group \"{}\"", name,
                             group.name));
}
Result<std::string> Catalog::automatic_name(std::int64_t vg_id) {
    const auto highest =
        TRY(db_.number("SELECT max(CAST(substr(name, 5) AS INTEGER)) FROM lv WHERE vg_id = ? AND "
                       "name GLOB 'lvol[0-9]*' AND length(name) < 20",
                       vg_id));
    return fmt::format("lvol{}", highest ? *highest + 1 : 0);
}

// --- the change log ------------------------------------------------------------------------------

Result<std::int64_t> Catalog::last_change(std::int64_t vg_id) {
    return TRY(db_.number("SELECT max(seq) FROM vg_log WHERE vg_id = ?", vg_id)).value_or(0);
}

Result<> Catalog::prune_log(std::int64_t vg_id) {
    constexpr std::int64_t kept = 512;
    return db_.run(
        "DELETE FROM vg_log WHERE vg_id = ?1 AND seq <= (SELECT max(seq) FROM vg_log WHERE vg_id = "
        "?1) - ?2",
        vg_id, kept);
}

Result<std::optional<std::vector<Catalog::Change>>> Catalog::changes_after(std::int64_t vg_id,
                                                                           std::int64_t seq) {
    // A kept row at or before `seq` shows that none after it was dropped.
    if (!TRY(db_.number("SELECT seq FROM vg_log WHERE vg_id = ? AND seq <= ? LIMIT 1", vg_id, seq)))
        return std::optional<std::vector<Change>>();
    auto found = TRY(rows<Change>(
        db_, [](const Statement& s) { return Change{s.integer(0), s.text(1)}; },
        "SELECT seq, change FROM vg_log WHERE vg_id = ? AND seq > ? ORDER BY seq", vg_id, seq));
    return std::optional(std::move(found));
}

Result<std::vector<Catalog::Change>> Catalog::all_rows(std::int64_t vg_id) {
    std::vector<Change> all;
    for (const std::string_view table : group_tables) {
        const auto columns = TRY(rows<std::string>(
            db_, [](const Statement& s) { return s.text(0); },
            "SELECT name FROM pragma_table_info(?)", table));
        std::string object;
        for (const auto& column : columns)
            object += fmt::format("{}'{}',{}", object.empty() ? "" : ",", column, column);
        auto part = TRY(rows<Change>(
            db_, [](const Statement& s) { return Change{0, s.text(0)}; },
            fmt::format(
                "SELECT json_object('t','{}','r',json_object({})) FROM {} WHERE {} = ? ORDER BY id",
                table, object, table, table == "vg" ? "id" : "vg_id"),
            vg_id));
        std::move(part.begin(), part.end(), std::back_inserter(all));
    }
    return all;
}

}  // namespace thinvol
