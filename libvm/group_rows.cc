#include "libvm/group_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "libvm/catalog_schema.h"
#include "libvm/extents.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

using Json = nlohmann::json;
using Row = GroupRows::Row;
using Table = GroupRows::Table;

Error damaged(std::string_view why) {
    return {Errc::corrupt, fmt::format("a group's rows: {}", why)};
}

GroupRows::Value value_of(const Json& j) {
    if (j.is_null()) return {};
    if (j.is_string()) return j.get<std::string>();
    if (!j.is_number_integer()) throw Json::type_error::create(302, "neither number nor text", &j);
    return j.get<std::int64_t>();
}

bool is_group_table(std::string_view name) {
    return std::ranges::find(group_tables, name) != std::end(group_tables);
}

// --- what the user is told -----------------------------------------------------------------------

const Row* find_row(const GroupRows& rows, std::string_view table, std::int64_t id) {
    const auto it = rows.table(table).find(id);
    return it == rows.table(table).end() ? nullptr : &it->second;
}

std::string owner_of(const GroupRows& rows, const Row& row) {
    if (const Row* lv = find_row(rows, "lv", number_of(row, "lv_id"))) return text_of(*lv, "name");
    if (const Row* pv = find_row(rows, "pv", number_of(row, "pv_id"))) return text_of(*pv, "path");
    return rows.name();
}

std::string object_name(const GroupRows& rows, std::string_view table, std::int64_t id,
                        const Row& row) {
    if (table == "vg") return fmt::format("group {}", text_of(row, "name"));
    if (table == "pv") return fmt::format("physical volume {}", text_of(row, "path"));
    if (table == "segment") {
        const Row* pv = find_row(rows, "pv", number_of(row, "pv_id"));
        return fmt::format("{} extents of {} at {} of {}", number_of(row, "length"),
                           owner_of(rows, row), number_of(row, "pv_start"),
                           pv == nullptr ? "nothing" : text_of(*pv, "path"));
    }
    if (table == "tag")
        return fmt::format("tag {} of {}", text_of(row, "tag"), owner_of(rows, row));
    if (table == "setting")
        return fmt::format("setting {} of {}", text_of(row, "key"), owner_of(rows, row));
    if (table == "job") return fmt::format("job {}", text_of(row, "kind"));
    const Row* lv = table == "lv" ? &row : find_row(rows, "lv", id);
    if (lv == nullptr) return fmt::format("{} {}", table, id);
    const std::string name = text_of(*lv, "name");
    if (table == "pending") return fmt::format("unfinished operation of pool {}", name);
    const std::string kind = text_of(*lv, "kind");
    if (const Row* thin = find_row(rows, "thin", id); thin != nullptr && table == "lv") {
        return fmt::format(
            "volume {} (thin id {}, {})", name, number_of(*thin, "thin_id"),
            format_size_long(Bytes(static_cast<std::uint64_t>(number_of(*thin, "size_bytes")))));
    }
    return fmt::format("{} {}", kind == "thin" ? "volume" : kind, name);
}

// Rows that come and go with their volume are not worth a line of their own.
bool told_with_volume(std::string_view table, const Row& row, std::int64_t id,
                      const GroupRows& other) {
    if (table == "pool" || table == "thin") return true;
    if (table == "segment" && text_of(row, "role") == "log") return true;
    const std::int64_t lv = table == "pending" ? id : number_of(row, "lv_id");
    return lv != 0 && table != "lv" && find_row(other, "lv", lv) == nullptr;
}

std::string shown(const Row& row, const std::string& column) {
    const auto it = row.find(column);
    if (it == row.end()) return "nothing";
    if (const auto* n = std::get_if<std::int64_t>(&it->second)) return std::to_string(*n);
    if (const auto* s = std::get_if<std::string>(&it->second)) return *s;
    return "nothing";
}

// The columns that differ, each with both values; empty: none.
std::string changed_columns(const Row& from, const Row& to) {
    std::vector<std::string> parts;
    for (const auto& [column, value] : to) {
        const auto before = from.find(column);
        if (before != from.end() && before->second == value) continue;
        parts.push_back(fmt::format("{} {} -> {}", column, shown(from, column), shown(to, column)));
    }
    return fmt::format("{}", fmt::join(parts, ", "));
}

// --- installing ----------------------------------------------------------------------------------

// Which table's ids a column holds.
std::string_view ids_of(std::string_view table, std::string_view column) {
    if (column == "vg_id") return "vg";
    if (column == "pv_id") return "pv";
    if (column == "lv_id" || column == "pool_id" || column == "origin_id") return "lv";
    if (column != "id") return "";
    return table == "pool" || table == "thin" || table == "pending" ? "lv" : table;
}

Result<std::int64_t> highest_ever(Database& db, std::string_view table) {
    return TRY(db.number("SELECT seq FROM sqlite_sequence WHERE name = ?", table)).value_or(0);
}

Result<bool> any_taken(Database& db, std::string_view name, const Table& table) {
    Statement query = TRY(db.prepare(fmt::format("SELECT 1 FROM {} WHERE id = ?", name)));
    for (const auto& [id, row] : table) {
        query.reset();
        if (TRY(query.bind(id).step())) return true;
    }
    return false;
}

// (2)
Result<> move_ids(Database& db, GroupRows& rows) {
    std::map<std::string_view, std::int64_t> by;
    for (const std::string_view name : group_tables) {
        if (ids_of(name, "id") == name && TRY(any_taken(db, name, rows.table(name))))
            by[name] = TRY(highest_ever(db, name));
    }
    if (by.empty()) return {};
    if ((by.contains("lv") || by.contains("pv")) &&
        !(rows.table("pending").empty() && rows.table("job").empty())) {
        return Error(Errc::busy,
                     fmt::format("group {} has an operation or a job half done, and its ids belong "
                                 "to other groups here: end it in its own environment first",
                                 rows.name()));
    }
    for (const std::string_view name : group_tables) {
        Table moved;
        for (auto& [id, row] : rows.table(name)) {
            for (auto& [column, value] : row) {
                auto* number = std::get_if<std::int64_t>(&value);
                const auto it = by.find(ids_of(name, column));
                if (number != nullptr && it != by.end()) *number += it->second;
            }
            moved.emplace(number_of(row, "id"), std::move(row));
        }
        rows.table(name) = std::move(moved);
    }
    return {};
}

Result<> insert_table(Database& db, std::string_view name, const Table& table) {
    std::set<std::string> known;
    Statement columns = TRY(db.prepare("SELECT name FROM pragma_table_info(?)"));
    columns.bind(name);
    while (TRY(columns.step())) known.insert(columns.text(0));
    std::optional<Statement> insert;
    std::string prepared_for;
    for (const auto& [id, row] : table) {
        std::vector<std::string_view> named;
        for (const auto& [column, value] : row) {
            if (!known.contains(column))
                return Error(
                    Errc::unsupported,
                    fmt::format("column {} of {}: a newer Thinvol wrote it", column, name));
            named.push_back(column);
        }
        std::string list = fmt::format("{}", fmt::join(named, ", "));
        if (list != prepared_for) {
            const std::vector<std::string_view> marks(named.size(), "?");
            insert = TRY(db.prepare(
                fmt::format("INSERT INTO {}({}) VALUES({})", name, list, fmt::join(marks, ", "))));
            prepared_for = std::move(list);
        }
        insert->reset();
        for (const auto& [column, value] : row) {
            if (const auto* n = std::get_if<std::int64_t>(&value)) insert->bind(*n);
            else if (const auto* s = std::get_if<std::string>(&value)) insert->bind(*s);
            else insert->bind(nullptr);
        }
        TRY(within(fmt::format("{} {}", name, id), insert->step()));
    }
    return {};
}

Result<> check_free(Catalog& catalog, const GroupRows& rows) {
    for (const GroupRow& group : TRY(catalog.groups())) {
        if (group.name == rows.name())
            return Error(Errc::exists,
                         fmt::format("another volume group is called {}: rename it first: "
                                     "tvgrename {} NEWNAME",
                                     group.name, group.name));
    }
    for (const PvRow& pv : TRY(catalog.pvs(std::nullopt))) {
        for (const auto& [id, row] : rows.table("pv")) {
            if (text_of(row, "path") != pv.path && text_of(row, "uuid") != pv.uuid) continue;
            return Error(Errc::exists, fmt::format("{} is a physical volume of volume group {}",
                                                   pv.path, TRY(catalog.group(pv.vg_id)).name));
        }
    }
    return {};
}

Result<> remove_rows(Database& db, std::string_view uuid) {
    const auto id = TRY(db.number("SELECT id FROM vg WHERE uuid = ?", uuid));
    if (!id) return {};
    for (const std::string_view table : {"segment", "thin", "pool", "lv", "pv"})
        TRY(db.run(fmt::format("DELETE FROM {} WHERE vg_id = ?", table), *id));
    return db.run("DELETE FROM vg WHERE id = ?", *id);
}

// Numbers from `least` on are given to rows to come.
Result<> raise_sequence(Database& db, std::string_view table, std::int64_t least) {
    if (TRY(highest_ever(db, table)) >= least) return {};
    TRY(db.run("DELETE FROM sqlite_sequence WHERE name = ?", table));
    return db.run("INSERT INTO sqlite_sequence(name, seq) VALUES(?, ?)", table, least);
}

}  // namespace

std::string text_of(const Row& row, std::string_view column) {
    const auto it = row.find(column);
    const auto* text = it == row.end() ? nullptr : std::get_if<std::string>(&it->second);
    return text == nullptr ? "" : *text;
}
std::int64_t number_of(const Row& row, std::string_view column) {
    const auto it = row.find(column);
    const auto* number = it == row.end() ? nullptr : std::get_if<std::int64_t>(&it->second);
    return number == nullptr ? 0 : *number;
}

Result<> GroupRows::apply(std::string_view change) {
    try {
        const Json j = Json::parse(change);
        const std::string name = j.at("t").get<std::string>();
        if (!is_group_table(name))
            return Error(Errc::unsupported,
                         fmt::format("table {}: a newer Thinvol wrote it", name));
        if (j.contains("d")) {
            tables_[name].erase(j.at("d").get<std::int64_t>());
            return {};
        }
        Row row;
        for (const auto& [column, value] : j.at("r").items()) row[column] = value_of(value);
        const std::int64_t id = number_of(row, "id");
        if (id <= 0) return damaged(fmt::format("a row of {} has no id", name));
        tables_[name][id] = std::move(row);
        return {};
    } catch (const Json::exception& e) {
        return damaged(e.what());
    }
}

Result<GroupRows> GroupRows::of(Catalog& catalog, std::int64_t vg_id) {
    GroupRows rows;
    for (const auto& change : TRY(catalog.all_rows(vg_id))) TRY(rows.apply(change.json));
    return rows;
}

Result<GroupRows> GroupRows::replay(const std::vector<std::string>& changes) {
    GroupRows rows;
    for (const std::string& change : changes) TRY(rows.apply(change));
    TRY(rows.check());
    return rows;
}

Result<> GroupRows::check() const {
    if (table("vg").size() != 1)
        return damaged(fmt::format("{} groups, where one is expected", table("vg").size()));
    if (name().empty() || uuid().empty()) return damaged("the group has no name or UUID");
    for (const auto& [name, rows] : tables_) {
        for (const auto& [id, row] : rows) {
            if (name != "vg" && !table("vg").contains(number_of(row, "vg_id")))
                return damaged(fmt::format("{} {} is of another group", name, id));
        }
    }
    return {};
}

std::string GroupRows::uuid() const {
    return table("vg").empty() ? "" : text_of(table("vg").begin()->second, "uuid");
}
std::string GroupRows::name() const {
    return table("vg").empty() ? "" : text_of(table("vg").begin()->second, "name");
}
const Table& GroupRows::table(std::string_view name) const {
    static const Table none;
    const auto it = tables_.find(name);
    return it == tables_.end() ? none : it->second;
}
Table& GroupRows::table(std::string_view name) { return tables_[std::string(name)]; }

std::vector<std::string> differences(const GroupRows& from, const GroupRows& to) {
    std::vector<std::string> lines;
    for (const std::string_view table : group_tables) {
        for (const auto& [id, row] : from.table(table)) {
            if (find_row(to, table, id) != nullptr || told_with_volume(table, row, id, to))
                continue;
            lines.push_back(fmt::format("gone: {}", object_name(from, table, id, row)));
        }
        for (const auto& [id, row] : to.table(table)) {
            const Row* before = find_row(from, table, id);
            if (before == nullptr) {
                if (!told_with_volume(table, row, id, from))
                    lines.push_back(fmt::format("new: {}", object_name(to, table, id, row)));
                continue;
            }
            const std::string changed = changed_columns(*before, row);
            if (!changed.empty())
                lines.push_back(
                    fmt::format("changed: {}: {}", object_name(from, table, id, *before), changed));
        }
    }
    return lines;
}

Result<std::int64_t> install_group(Catalog& catalog, GroupRows rows, std::int64_t last_change) {
    Database& db = catalog.database();
    TRY(rows.check());
    const std::string uuid = rows.uuid();
    TRY(db.execute("PRAGMA defer_foreign_keys = ON"));
    TRY(raise_sequence(db, "vg_log", last_change));
    TRY(remove_rows(db, uuid));
    TRY(check_free(catalog, rows));
    TRY(move_ids(db, rows));
    for (const std::string_view table : group_tables)
        TRY(insert_table(db, table, rows.table(table)));
    const std::int64_t id = rows.table("vg").begin()->first;
    TRY(FreeExtents::of(TRY(catalog.pvs(id)), TRY(catalog.segments(id))));
    TRY(catalog.prune_log(id));
    return id;
}

}  // namespace thinvol
