#include "libvm/tags.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinvol {
namespace {

constexpr std::size_t longest_tag = 1024;
constexpr const char* of_object =
    " WHERE vg_id = ? AND ifnull(pv_id, 0) = ? AND ifnull(lv_id, 0) = ?";

bool allowed(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_+.-/=!:#&").contains(c);
}

std::optional<std::int64_t> id_or_null(std::int64_t id) {
    return id == 0 ? std::optional<std::int64_t>() : std::optional(id);
}

Taggable read_object(const Statement& s) { return {s.integer(0), s.integer(1), s.integer(2)}; }

}  // namespace

Result<std::string> parse_tag(std::string_view text) {
    std::string_view tag = text;
    if (tag.starts_with('@')) tag.remove_prefix(1);
    const auto invalid = [&](std::string_view why) {
        return Error(Errc::invalid_argument, fmt::format("tag \"{}\" is invalid: {}", text, why));
    };
    if (tag.empty()) return invalid("it is empty");
    if (tag.size() > longest_tag)
        return invalid(fmt::format("it is longer than {} characters", longest_tag));
    if (tag.front() == '-') return invalid("it begins with a hyphen");
    if (!std::all_of(tag.begin(), tag.end(), allowed))
        return invalid("valid characters are [a-zA-Z0-9_+.-/=!:#&]");
    return std::string(tag);
}

Result<> add_tag(Catalog& catalog, const Taggable& object, std::string_view tag) {
    const std::string word = TRY(parse_tag(tag));
    return catalog.database().run(
        "INSERT INTO tag(vg_id, pv_id, lv_id, tag) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING",
        object.vg_id, id_or_null(object.pv_id), id_or_null(object.lv_id), word);
}

Result<> remove_tag(Catalog& catalog, const Taggable& object, std::string_view tag) {
    const std::string word = TRY(parse_tag(tag));
    return catalog.database().run(fmt::format("DELETE FROM tag{} AND tag = ?", of_object),
                                  object.vg_id, object.pv_id, object.lv_id, word);
}

Result<std::vector<std::string>> tags_of(Catalog& catalog, const Taggable& object) {
    Statement statement = TRY(
        catalog.database().prepare(fmt::format("SELECT tag FROM tag{} ORDER BY tag", of_object)));
    statement.bind(object.vg_id).bind(object.pv_id).bind(object.lv_id);
    std::vector<std::string> tags;
    while (TRY(statement.step())) tags.push_back(statement.text(0));
    return tags;
}

Result<std::vector<TagRow>> tags_in_group(Catalog& catalog, std::int64_t vg_id) {
    Statement statement = TRY(catalog.database().prepare(
        "SELECT vg_id, ifnull(pv_id, 0), ifnull(lv_id, 0), tag FROM tag WHERE vg_id = ? ORDER BY "
        "tag"));
    statement.bind(vg_id);
    std::vector<TagRow> rows;
    while (TRY(statement.step())) rows.push_back({read_object(statement), statement.text(3)});
    return rows;
}

Result<std::vector<Taggable>> find_tagged(Catalog& catalog, std::string_view tag) {
    const std::string word = TRY(parse_tag(tag));
    Statement statement = TRY(catalog.database().prepare(
        "SELECT vg_id, ifnull(pv_id, 0), ifnull(lv_id, 0) FROM tag WHERE tag = ? ORDER BY id"));
    statement.bind(word);
    std::vector<Taggable> found;
    while (TRY(statement.step())) found.push_back(read_object(statement));
    return found;
}

}  // namespace thinvol
