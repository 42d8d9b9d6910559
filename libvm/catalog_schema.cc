#include "libvm/catalog_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "libvm/uuid.h"

namespace thinvol {
namespace {

constexpr const char* version_1 = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE vg(
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
  extent_sectors INTEGER NOT NULL CHECK(extent_sectors > 0), created INTEGER NOT NULL);
CREATE TABLE pv(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL REFERENCES vg(id),
  uuid TEXT NOT NULL UNIQUE,
  path TEXT NOT NULL UNIQUE, size_sectors INTEGER NOT NULL, data_start_sectors INTEGER NOT NULL,
  extents INTEGER NOT NULL,
  io_mode TEXT NOT NULL CHECK(io_mode IN ('buffered', 'direct')), keeps_log INTEGER NOT NULL,
  created INTEGER NOT NULL);
CREATE TABLE lv(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL REFERENCES vg(id),
  uuid TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL, kind TEXT NOT NULL CHECK(kind IN ('pool', 'thin', 'spare')),
  read_only INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, UNIQUE(vg_id, name));
CREATE TABLE pool(
  id INTEGER PRIMARY KEY REFERENCES lv(id) ON DELETE CASCADE, vg_id INTEGER NOT NULL,
  chunk_sectors INTEGER NOT NULL,
  transaction_id INTEGER NOT NULL DEFAULT 0, next_thin_id INTEGER NOT NULL DEFAULT 0,
  zero INTEGER NOT NULL DEFAULT 1,
  discards TEXT NOT NULL DEFAULT 'passdown' CHECK(discards IN ('passdown', 'nopassdown',
  'ignore')));
CREATE TABLE thin(
  id INTEGER PRIMARY KEY REFERENCES lv(id) ON DELETE CASCADE, vg_id INTEGER NOT NULL,
  pool_id INTEGER NOT NULL REFERENCES pool(id), thin_id INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  origin_id INTEGER REFERENCES thin(id) ON DELETE SET NULL,
  skip_activation INTEGER NOT NULL DEFAULT 0,
  UNIQUE(pool_id, thin_id));
CREATE INDEX thin_origin ON thin(origin_id) WHERE origin_id IS NOT NULL;
CREATE TABLE segment(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL REFERENCES vg(id),
  lv_id INTEGER REFERENCES lv(id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK(role IN ('data', 'metadata', 'spare', 'log')), start INTEGER NOT NULL,
  length INTEGER NOT NULL CHECK(length > 0),
  pv_id INTEGER NOT NULL REFERENCES pv(id), pv_start INTEGER NOT NULL,
  pending INTEGER NOT NULL DEFAULT 0);
CREATE INDEX segment_lv ON segment(lv_id);
CREATE TABLE pending(
  id INTEGER PRIMARY KEY REFERENCES pool(id) ON DELETE CASCADE, vg_id INTEGER NOT NULL,
  request TEXT NOT NULL,
  from_id INTEGER NOT NULL, to_id INTEGER NOT NULL, operation TEXT NOT NULL,
  answer TEXT NOT NULL);
CREATE TABLE answer(
  id INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL UNIQUE, answer TEXT NOT NULL);
CREATE TABLE vg_log(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL, change TEXT NOT NULL);
CREATE INDEX vg_log_vg ON vg_log(vg_id, seq);
)";

Result<std::vector<std::string>> columns_of(Database& db, std::string_view table) {
    Statement statement = TRY(db.prepare("SELECT name FROM pragma_table_info(?)"));
    statement.bind(table);
    std::vector<std::string> columns;
    while (TRY(statement.step())) columns.push_back(statement.text(0));
    return columns;
}

// {"t":"lv","r":{...}} for a row that is new or changed, {"t":"lv","d":7} for one that is gone.
Result<> add_log_triggers(Database& db, std::string_view table) {
    const auto columns = TRY(columns_of(db, table));
    const std::string_view vg = table == "vg" ? "id" : "vg_id";
    std::string row;
    for (const auto& column : columns)
        row += fmt::format("{}'{}',NEW.{}", row.empty() ? "" : ",", column, column);
    for (const std::string_view event : {"INSERT", "UPDATE"}) {
        TRY(db.execute(fmt::format(
            "CREATE TRIGGER log_{0}_{1} AFTER {1} ON {0} BEGIN INSERT INTO vg_log(vg_id, change) "
            "VALUES(NEW.{2}, json_object('t','{0}','r',json_object({3}))); END;",
            table, event, vg, row)));
    }
    if (table == "vg") {
        return db.execute(
            "CREATE TRIGGER log_vg_DELETE AFTER DELETE ON vg BEGIN DELETE FROM vg_log WHERE vg_id "
            "= OLD.id; END;");
    }
    return db.execute(fmt::format(
        "CREATE TRIGGER log_{0}_DELETE AFTER DELETE ON {0} BEGIN INSERT INTO vg_log(vg_id, change) "
        "VALUES(OLD.vg_id, json_object('t','{0}','d',OLD.id)); END;",
        table));
}

Result<> drop_log_triggers(Database& db, std::string_view table) {
    for (const std::string_view event : {"INSERT", "UPDATE", "DELETE"})
        TRY(db.execute(fmt::format("DROP TRIGGER IF EXISTS log_{}_{};", table, event)));
    return {};
}

Result<> create_version_1(Database& db) {
    TRY(db.execute(version_1));
    return db.run("INSERT INTO meta(key, value) VALUES('environment', ?)", new_uuid());
}

constexpr const char* version_2 = R"(
ALTER TABLE pool ADD COLUMN error_when_full INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pool ADD COLUMN no_space_timeout INTEGER NOT NULL DEFAULT 60;
ALTER TABLE pool ADD COLUMN lent_to TEXT NOT NULL DEFAULT 'nobody'
  CHECK(lent_to IN ('nobody', 'kernel'));
)";

// A tag is a physical volume's, a volume's, or with neither the group's; a setting a volume's or
// the group's.
constexpr const char* version_3 = R"(
ALTER TABLE vg ADD COLUMN autoactivation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE vg ADD COLUMN exported INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vg ADD COLUMN allocation TEXT NOT NULL DEFAULT 'normal'
  CHECK(allocation IN ('contiguous', 'cling', 'normal'));
ALTER TABLE pv ADD COLUMN allocatable INTEGER NOT NULL DEFAULT 1;
ALTER TABLE lv ADD COLUMN autoactivation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE thin ADD COLUMN merging INTEGER NOT NULL DEFAULT 0;
ALTER TABLE thin ADD COLUMN external_origin TEXT;
CREATE TABLE tag(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL REFERENCES vg(id) ON DELETE CASCADE,
  pv_id INTEGER REFERENCES pv(id) ON DELETE CASCADE,
  lv_id INTEGER REFERENCES lv(id) ON DELETE CASCADE, tag TEXT NOT NULL);
CREATE UNIQUE INDEX tag_once ON tag(vg_id, ifnull(pv_id, 0), ifnull(lv_id, 0), tag);
CREATE INDEX tag_lv ON tag(lv_id) WHERE lv_id IS NOT NULL;
CREATE TABLE setting(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL REFERENCES vg(id) ON DELETE CASCADE,
  lv_id INTEGER REFERENCES lv(id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL);
CREATE UNIQUE INDEX setting_once ON setting(vg_id, ifnull(lv_id, 0), key);
CREATE INDEX setting_lv ON setting(lv_id) WHERE lv_id IS NOT NULL;
CREATE TABLE job(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vg_id INTEGER NOT NULL REFERENCES vg(id) ON DELETE CASCADE,
  kind TEXT NOT NULL, detail TEXT NOT NULL);
)";

}  // namespace

Result<> migrate(Database& db) {
    const auto version_of = [&] { return db.number("PRAGMA user_version"); };
    std::int64_t version = TRY(version_of()).value_or(0);
    if (version < catalog_version) {
        auto transaction = TRY(Transaction::begin(db));
        version = TRY(version_of()).value_or(0);  // another process may have been first
        if (version < 1) TRY(create_version_1(db));
        if (version < 2) TRY(db.execute(version_2));
        if (version < 3) TRY(db.execute(version_3));
        // The triggers name the columns of their tables.
        for (const std::string_view table : group_tables) {
            TRY(drop_log_triggers(db, table));
            TRY(add_log_triggers(db, table));
        }
        TRY(db.execute(fmt::format("PRAGMA user_version = {}",
                                   std::max<std::int64_t>(version, catalog_version))));
        TRY(std::move(transaction).commit());
    }
    if (version > catalog_version) {
        return Error(
            Errc::unsupported,
            fmt::format(
                "the catalog has version {}, this program knows {}: a newer Thinvol wrote it",
                version, catalog_version));
    }
    return {};
}

}  // namespace thinvol
