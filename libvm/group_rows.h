// GroupRows: a group's rows outside of the catalog, as a log on a physical volume or a backup tells
// them.
//
// Units       as the catalog's columns
// Invariants  (1) what is installed was checked: rows that belong together, extents used once
//             (2) rows keep their ids where nothing else has them, else all move behind the highest
// Errors      corrupt: text that is no change, or rows that contradict each other; unsupported: a
//             column of a newer program; exists: another group's name or path
// Threads     any; values
// Source      none
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libvm/catalog.h"

namespace thinvol {

class GroupRows {
public:
    using Value = std::variant<std::monostate, std::int64_t, std::string>;
    using Row = std::map<std::string, Value, std::less<>>;
    using Table = std::map<std::int64_t, Row>;

    // A line of a log: {"t":"lv","r":{...}} or {"t":"lv","d":7}.
    Result<> apply(std::string_view change);
    static Result<GroupRows> of(Catalog& catalog, std::int64_t vg_id);
    static Result<GroupRows> replay(const std::vector<std::string>& changes);

    // Exactly one group, which has a name and a UUID.
    Result<> check() const;
    std::string uuid() const;
    std::string name() const;
    const Table& table(std::string_view name) const;
    Table& table(std::string_view name);

private:
    std::map<std::string, Table, std::less<>> tables_;
};

std::string text_of(const GroupRows::Row& row, std::string_view column);
std::int64_t number_of(const GroupRows::Row& row, std::string_view column);

// What a user sees change from one to the other: a line for each object.
std::vector<std::string> differences(const GroupRows& from, const GroupRows& to);

// Makes them the group's rows, in place of those that the catalog has of it, if any; its id. Inside
// a transaction. Changes are numbered above `last_change` from there on.
Result<std::int64_t> install_group(Catalog& catalog, GroupRows rows, std::int64_t last_change);

}  // namespace thinvol
