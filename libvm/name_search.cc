#include "libvm/name_search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace thinvol {
namespace {

constexpr std::int64_t most = 200;

// Behind every name that begins so; names are ASCII.
std::string end_of(const std::string& beginning) { return beginning + "\x7f"; }

class ThinNames {
public:
    ThinNames(Catalog& catalog, std::int64_t vg_id, const NamesWanted& wanted)
        : db_(catalog.database()), vg_id_(vg_id) {
        where_ =
            "FROM lv CROSS JOIN thin USING(id) WHERE lv.vg_id = ? AND name >= ? AND name < ? AND "
            "NOT pending";
        if (wanted.snapshots_only) where_ += " AND origin_id IS NOT NULL";
        if (!wanted.skipped) where_ += " AND NOT skip_activation";
        if (!wanted.lent)
            where_ += " AND pool_id NOT IN (SELECT id FROM pool WHERE lent_to != 'nobody')";
        if (!wanted.pools_only.empty())
            where_ += fmt::format(" AND pool_id IN ({})", fmt::join(wanted.pools_only, ","));
    }

    Result<> search(const std::string& beginning, NamesFound& found) {
        found.thins = TRY(between(beginning, end_of(beginning), "name", most + 1));
        if (found.thins.size() <= static_cast<std::size_t>(most)) return {};
        const auto last = TRY(between(beginning, end_of(beginning), "name DESC", 1));
        const std::string first = found.thins.front();
        const auto same =
            std::mismatch(first.begin(), first.end(), last.front().begin(), last.front().end());
        const std::string common(first.begin(), same.first);
        found.thins.clear();
        found.beginnings = true;
        std::string from = common;
        for (;;) {
            const auto next = TRY(between(from, end_of(common), "name", 1));
            if (next.empty()) return {};
            found.thins.push_back(next.front().substr(0, common.size() + 1));
            const std::string& stem = found.thins.back();
            from = stem == common ? common + '\x01' : end_of(stem);
        }
    }

private:
    Result<std::vector<std::string>> between(const std::string& from, const std::string& end,
                                             std::string_view order, std::int64_t limit) {
        Statement statement =
            TRY(db_.prepare(fmt::format("SELECT name {} ORDER BY {} LIMIT ?", where_, order)));
        statement.bind(vg_id_).bind(from).bind(end).bind(limit);
        std::vector<std::string> names;
        while (TRY(statement.step())) names.push_back(statement.text(0));
        return names;
    }

    Database& db_;
    std::int64_t vg_id_;
    std::string where_;
};

}  // namespace

Result<NamesFound> search_names(Catalog& catalog, std::int64_t vg_id, const std::string& beginning,
                                const NamesWanted& wanted) {
    NamesFound found;
    if (wanted.pools) {
        for (const PoolRow& pool : TRY(catalog.pools(vg_id))) {
            const bool fits = wanted.lent || pool.lent_to == LentTo::nobody;
            if (fits && pool.lv.name.starts_with(beginning)) found.pools.push_back(pool.lv.name);
        }
    }
    if (wanted.thins) TRY(ThinNames(catalog, vg_id, wanted).search(beginning, found));
    return found;
}

Result<std::vector<std::string>> search_tags(Catalog& catalog, const std::string& beginning) {
    Statement statement = TRY(catalog.database().prepare(
        "SELECT DISTINCT tag FROM tag WHERE tag >= ? AND tag < ? ORDER BY tag LIMIT ?"));
    statement.bind(beginning).bind(end_of(beginning)).bind(most);
    std::vector<std::string> tags;
    while (TRY(statement.step())) tags.push_back(statement.text(0));
    return tags;
}

}  // namespace thinvol
