// tags: words that a user gives to groups, physical volumes and volumes, to mean several at once.
//
// Units       none
// Invariants  (1) an object has a tag once; its tags go with it
// Errors      invalid_argument: a character that no tag has; otherwise as Catalog
// Threads     as the catalog's
// Source      lvm(8), "Tags"
#pragma once

#include <string>
#include <vector>

#include "libvm/catalog.h"

namespace thinvol {

// A physical volume, a volume, or with neither the group itself.
struct Taggable {
    std::int64_t vg_id = 0;
    std::int64_t pv_id = 0;
    std::int64_t lv_id = 0;
    bool operator==(const Taggable&) const = default;
};
struct TagRow {
    Taggable object;
    std::string tag;
};

// The tag that a user means, without the "@" that it may be written with.
Result<std::string> parse_tag(std::string_view text);

// Inside a Transaction. A tag that is there already, or is not there, changes nothing.
Result<> add_tag(Catalog& catalog, const Taggable& object, std::string_view tag);
Result<> remove_tag(Catalog& catalog, const Taggable& object, std::string_view tag);

// Sorted.
Result<std::vector<std::string>> tags_of(Catalog& catalog, const Taggable& object);
// Of the group and all that is in it, in one query: for reports.
Result<std::vector<TagRow>> tags_in_group(Catalog& catalog, std::int64_t vg_id);
// Everything that carries the tag, in all groups. None is no error, as in LVM.
Result<std::vector<Taggable>> find_tagged(Catalog& catalog, std::string_view tag);

}  // namespace thinvol
