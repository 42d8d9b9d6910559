#include "libvm/merges.h"

#include <fmt/format.h>

namespace thinvol {
namespace {

std::int64_t id_of(ThinId id) { return id.n(); }

}  // namespace

Result<std::optional<ThinRow>> merging_into(Catalog& catalog, std::int64_t origin_id) {
    const auto id = TRY(catalog.database().number(
        "SELECT id FROM thin WHERE origin_id = ? AND merging", origin_id));
    if (!id) return std::optional<ThinRow>();
    return std::optional(TRY(catalog.thin(*id)));
}

Result<> check_mergeable(Catalog& catalog, const ThinRow& snapshot) {
    const std::string& name = snapshot.lv.name;
    const auto refused = [](std::string why) {
        return Error(Errc::invalid_argument, std::move(why));
    };
    if (snapshot.origin_id == 0)
        return refused(fmt::format(
            "\"{}\" is not a mergeable logical volume: it has no origin, or its origin is gone",
            name));
    const ThinRow origin = TRY(catalog.thin(snapshot.origin_id));
    const auto other = TRY(merging_into(catalog, origin.lv.id));
    if (other && other->lv.id != snapshot.lv.id)
        return refused(fmt::format(
            "Cannot merge snapshot \"{}\" into merging origin \"{}\": \"{}\" is to replace it",
            name, origin.lv.name, other->lv.name));
    if (origin.merging != Merging::no)
        return refused(
            fmt::format("\"{}\" is itself to replace its origin, and goes then", origin.lv.name));
    if (const auto into = TRY(merging_into(catalog, snapshot.lv.id)))
        return refused(
            fmt::format("\"{}\" is itself to be replaced by \"{}\"", name, into->lv.name));
    return {};
}

Result<> set_merging(Catalog& catalog, std::int64_t snapshot_id, Merging merging) {
    return catalog.database().run("UPDATE thin SET merging = ? WHERE id = ?",
                                  static_cast<std::int64_t>(merging), snapshot_id);
}

Result<std::string> premerge_name(Catalog& catalog, const ThinRow& origin) {
    const std::string stem = origin.lv.name + "_premerge";
    std::string name = stem;
    for (int i = 1; TRY(catalog.lookup_lv(origin.lv.vg_id, name)); ++i)
        name = fmt::format("{}{}", stem, i);
    return name;
}

Result<> replace_origin(Catalog& catalog, std::int64_t origin_id, std::int64_t snapshot_id,
                        ThinId thin_id, Bytes size) {
    Database& db = catalog.database();
    TRY(db.run("UPDATE thin SET origin_id = ? WHERE origin_id = ?", origin_id, snapshot_id));
    TRY(catalog.remove_lv(snapshot_id));  // first: a pool has a thin id once
    TRY(set_thin_id(catalog, origin_id, thin_id));
    return catalog.set_thin_size(origin_id, size);
}

Result<> set_origin(Catalog& catalog, std::int64_t lv_id, std::int64_t origin_id) {
    return catalog.database().run("UPDATE thin SET origin_id = ? WHERE id = ?", origin_id, lv_id);
}

Result<> set_thin_id(Catalog& catalog, std::int64_t lv_id, ThinId id) {
    return catalog.database().run("UPDATE thin SET thin_id = ? WHERE id = ?", id_of(id), lv_id);
}

}  // namespace thinvol
