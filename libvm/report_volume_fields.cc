// The fields of volumes and of their segments.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "libvm/external_origin.h"
#include "libvm/report_rows.h"
#include "libvm/sizes.h"
#include "libvm/uuid.h"

namespace thinvol {
namespace {

using Row = ReportRow;
using Words = std::vector<std::string>;

template <class T>
const T* found(const ById<T>& map, std::int64_t id) {
    const auto it = map.find(id);
    return it == map.end() ? nullptr : &it->second;
}
template <class T>
T* found(const ById<T*>& map, std::int64_t id) {
    const auto it = map.find(id);
    return it == map.end() ? nullptr : it->second;
}

Cell text_or_nothing(std::string_view s) { return s.empty() ? Cell() : text_cell(s); }

// --- what a row is -------------------------------------------------------------------------------

bool is_pool(const Row& r) { return r.pool != nullptr && !r.hidden; }
const PoolRow* pool_of(const Row& r) {
    return r.thin != nullptr ? found(r.in->pool_of, r.thin->pool_id) : r.pool;
}
const PoolAnswer* status_of(const Row& r) {
    const PoolRow* pool = pool_of(r);
    return pool == nullptr ? nullptr : found(r.in->served, pool->lv.id);
}
const ActiveVolume* activation_of(const Row& r) {
    return r.thin == nullptr ? nullptr : found(r.in->active, r.thin->lv.id);
}
Cell of_active(const Row& r, Cell (*tell)(const ActiveVolume& volume)) {
    const ActiveVolume* active = activation_of(r);
    return active == nullptr ? Cell() : tell(*active);
}
const ThinRow* origin_of(const Row& r, const ThinRow* thin) {
    return thin == nullptr ? nullptr : found(r.in->thin_of, thin->origin_id);
}
Cell external_origin_path(const ThinRow& thin) {
    if (thin.external_origin.empty()) return {};
    const auto origin = parse_external_origin(thin.external_origin);
    return origin ? origin->path : thin.external_origin;
}
const std::vector<const ThinRow*>* snapshots_of(const Row& r, const ThinRow& thin) {
    return found(r.in->snapshots_of, thin.lv.id);
}
bool merges(const Row& r) { return r.thin != nullptr && r.thin->merging != Merging::no; }
bool holds(const Ids& ids, const Row& r) { return r.thin != nullptr && ids.contains(r.lv->id); }
Cell yes_no(bool set, std::string_view yes) { return Flag{set, yes}; }

// What holds for a volume or pool; nothing for what has no settings, or if they cannot be read.
const SettingValue* setting_of(const Row& r, std::string_view key) {
    if (r.hidden || !r.in->config) return nullptr;
    if (r.in->config->source(key) == SettingSource::command) return &r.in->config->value(key);
    const std::int64_t pool = pool_of(r) == nullptr ? 0 : pool_of(r)->lv.id;
    for (const std::int64_t owner : {r.lv->id, pool, std::int64_t{0}}) {
        const auto* stored = found(r.in->stored_settings, owner);
        if (stored == nullptr) continue;
        for (const Assignment& a : *stored) {
            if (a.spec->key == key) return &a.value;
        }
    }
    return &r.in->config->value(key);
}

Bytes segments_size(const Row& r, SegmentRole role) {
    Extents sum(0);
    for (const SegmentRow& s : r.in->segments) {
        if (s.lv_id == r.lv->id && s.role == role && !s.pending) sum += s.length;
    }
    return to_bytes(r.in->group.extent_size * sum.n);
}
Bytes size_of(const Row& r) { return r.thin != nullptr ? r.thin->size : segments_size(r, r.part); }

std::string shown_name(const Row& r) {
    if (!r.hidden) return r.lv->name;
    if (r.part == SegmentRole::spare) return fmt::format("[{}]", r.lv->name);
    return fmt::format("[{}_{}]", r.lv->name, r.part == SegmentRole::data ? "tdata" : "tmeta");
}

std::string_view health_of(const Row& r) {
    const PoolAnswer* status = status_of(r);
    if (status == nullptr) return "";
    if (status->mode == "failed") return "failed";
    if (r.thin != nullptr) return "";
    if (status->mode == "out_of_data_space") return "out_of_data";
    if (status->mode == "ro" || status->mode == "out_of_metadata_space")
        return "metadata_read_only";
    return "";
}

bool is_active(const Row& r) {
    return r.thin != nullptr ? activation_of(r) != nullptr : status_of(r) != nullptr;
}
bool is_open(const Row& r) {
    if (const ActiveVolume* active = activation_of(r)) return active->clients > 0;
    const PoolAnswer* status = r.thin != nullptr ? nullptr : status_of(r);
    return status != nullptr && (r.hidden || !status->active.empty());
}

char type_letter(const Row& r) {
    if (holds(r.in->merged_into, r)) return 'O';
    if (merges(r)) return 'S';
    if (r.thin != nullptr) return 'V';
    if (!r.hidden) return 't';
    return r.part == SegmentRole::data ? 'T' : 'e';
}

// Where LVM has no letter: the fifth is l, lent.
std::string attributes(const Row& r) {
    std::string a = "----------";
    const PoolRow* pool = pool_of(r);
    const PoolAnswer* status = status_of(r);
    a[0] = type_letter(r);
    a[1] = r.lv->read_only ? 'r' : 'w';
    a[2] = 'i';
    if (is_active(r)) a[4] = is_pool(r) && status->needs_check ? 'c' : 'a';
    else if (pool != nullptr && pool->lent_to != LentTo::nobody) a[4] = 'l';
    if (is_open(r)) a[5] = 'o';
    if (!r.hidden) a[6] = 't';
    if (!r.hidden && pool != nullptr && pool->zero) a[7] = 'z';
    const std::string_view health = health_of(r);
    if (health == "failed") a[8] = 'F';
    if (health == "out_of_data") a[8] = 'D';
    if (health == "metadata_read_only") a[8] = 'M';
    if (r.thin != nullptr && r.thin->skip_activation) a[9] = 'k';
    return a;
}

Words roles(const Row& r) {
    if (r.part == SegmentRole::spare) return {"private", "pool", "spare"};
    if (r.hidden)
        return {"private", "thin", "pool", r.part == SegmentRole::data ? "data" : "metadata"};
    if (r.thin == nullptr) return {"private"};
    Words words{"public"};
    if (const auto* snapshots = snapshots_of(r, *r.thin)) {
        words.insert(words.end(), {"origin", "thinorigin"});
        if (snapshots->size() > 1) words.emplace_back("multithinorigin");
    }
    if (origin_of(r, r.thin) != nullptr) words.insert(words.end(), {"snapshot", "thinsnapshot"});
    return words;
}

Words ancestors(const Row& r) {
    Words names;
    for (const ThinRow* t = origin_of(r, r.thin); t != nullptr; t = origin_of(r, t))
        names.push_back(t->lv.name);
    return names;
}
Words descendants(const Row& r) {
    Words names;
    if (r.thin == nullptr) return names;
    std::vector<const ThinRow*> left{r.thin};
    while (!left.empty()) {
        const auto* snapshots = snapshots_of(r, *left.back());
        left.pop_back();
        if (snapshots == nullptr) continue;
        for (const ThinRow* t : *snapshots) names.push_back(t->lv.name);
        left.insert(left.end(), snapshots->begin(), snapshots->end());
    }
    std::sort(names.begin(), names.end());
    return names;
}

// --- what the machine says -----------------------------------------------------------------------

Cell if_there(const std::string& path) {
    struct stat ignored{};
    return ::stat(path.c_str(), &ignored) == 0 ? Cell(path) : Cell();
}

// A file takes discards as holes.
bool takes_discards(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return true;
    std::ifstream in(fmt::format("/sys/dev/block/{}:{}/queue/discard_max_bytes",
                                 ::major(status.st_rdev), ::minor(status.st_rdev)));
    std::uint64_t most = 0;
    return !(in >> most) || most > 0;
}

constexpr std::array<std::string_view, 3> discards_words{"ignore", "nopassdown", "passdown"};
constexpr std::string_view discards_word(Discards d) {
    return d == Discards::passdown     ? "passdown"
           : d == Discards::nopassdown ? "nopassdown"
                                       : "ignore";
}
Cell effective_discards(const Row& r) {
    if (!is_pool(r)) return {};
    if (r.pool->discards != Discards::passdown) return text_cell(discards_word(r.pool->discards));
    for (const SegmentRow& s : r.in->segments) {
        if (s.lv_id != r.lv->id || s.role != SegmentRole::data) continue;
        const PvRow* pv = found(r.in->pv_of, s.pv_id);
        if (pv != nullptr && !takes_discards(pv->path)) return text_cell("nopassdown");
    }
    return text_cell("passdown");
}

// --- segments ------------------------------------------------------------------------------------

Bytes of_extents(const Row& r, Extents n) { return to_bytes(r.in->group.extent_size * n.n); }
Extents extents_in(const Row& r, Bytes size) {
    return Extents(size.n / to_bytes(r.in->group.extent_size).n);
}

Cell devices(const Row& r, const char* suffix) {
    if (is_pool(r)) return Words{fmt::format("{}_{}(0)", r.lv->name, suffix)};
    if (r.segment == nullptr) return Words{};
    const PvRow* pv = found(r.in->pv_of, r.segment->pv_id);
    return Words{
        fmt::format("{}({})", pv == nullptr ? "[unknown]" : pv->path, r.segment->pv_start.n)};
}
Cell extent_ranges(const Row& r) {
    if (r.segment == nullptr) return Words{};
    const PvRow* pv = found(r.in->pv_of, r.segment->pv_id);
    return Words{fmt::format("{}:{}-{}", pv == nullptr ? "[unknown]" : pv->path,
                             r.segment->pv_start.n,
                             r.segment->pv_start.n + r.segment->length.n - 1)};
}
std::uint64_t segment_count(const Row& r) {
    if (!r.hidden) return 1;
    return static_cast<std::uint64_t>(
        std::count_if(r.in->segments.begin(), r.in->segments.end(), [&](const SegmentRow& s) {
            return s.lv_id == r.lv->id && s.role == r.part && !s.pending;
        }));
}

constexpr std::array<std::string_view, 3> layout_kinds{"linear", "thin", "thin-pool"};
constexpr std::array<std::string_view, 1> active_words{"active"};
constexpr std::array<std::string_view, 2> permission_words{"writeable", "read-only"};
constexpr std::array<std::string_view, 1> allocation_words{"inherit"};
constexpr std::array<std::string_view, 2> full_words{"error", "queue"};
constexpr std::array<std::string_view, 3> health_words{"failed", "metadata_read_only",
                                                       "out_of_data"};
constexpr std::array<std::string_view, 1> kernel_word{"kernel"};
constexpr std::array<std::string_view, 5> mode_words{"failed", "out_of_data_space",
                                                     "out_of_metadata_space", "ro", "rw"};
// The words of flags.
constexpr std::array<std::string_view, 1> open_word{"open"};
constexpr std::array<std::string_view, 1> locally_word{"active locally"};
constexpr std::array<std::string_view, 1> exclusively_word{"active exclusively"};
constexpr std::array<std::string_view, 1> skip_word{"skip activation"};
constexpr std::array<std::string_view, 1> enabled_word{"enabled"};
constexpr std::array<std::string_view, 1> merging_word{"merging"};
constexpr std::array<std::string_view, 1> check_word{"check needed"};
constexpr std::array<std::string_view, 1> zero_word{"zero"};

constexpr Field volume_table[] = {
    {"lv_name", "LV", FieldKind::text, "Name. Hidden volumes are in brackets.",
     [](const Row& r) -> Cell { return shown_name(r); }},
    {"lv_attr", "Attr", FieldKind::text,
     "Attributes; see lvs(8). Besides, the fifth is l: the pool is lent.",
     [](const Row& r) -> Cell { return attributes(r); }, needs_servers},
    {"lv_size", "LSize", FieldKind::size, "Virtual size of a volume, data size of a pool.",
     [](const Row& r) -> Cell { return size_of(r); }},
    {"pool_lv", "Pool", FieldKind::text, "The pool a volume is in.",
     [](const Row& r) -> Cell { return r.thin == nullptr ? Cell() : Cell(pool_of(r)->lv.name); }},
    {"origin", "Origin", FieldKind::text, "What a snapshot was made of.",
     [](const Row& r) -> Cell {
         const ThinRow* origin = origin_of(r, r.thin);
         if (origin != nullptr) return origin->lv.name;
         return r.thin == nullptr ? Cell() : external_origin_path(*r.thin);
     }},
    {"data_percent", "Data%", FieldKind::percent,
     "Of a pool: used. Of a volume: mapped. Empty when inactive.",
     [](const Row& r) -> Cell {
         const PoolAnswer* status = status_of(r);
         if (is_pool(r) && status != nullptr)
             return Percent{status->data_used, status->data_blocks};
         const ActiveVolume* active = activation_of(r);
         if (active == nullptr) return {};
         const std::uint64_t chunk = to_bytes(pool_of(r)->chunk_size).n;
         return Percent{active->mapped_blocks, divide_up(r.thin->size.n, chunk)};
     },
     needs_servers},
    {"metadata_percent", "Meta%", FieldKind::percent,
     "Of a pool: metadata used. Empty when inactive.",
     [](const Row& r) -> Cell {
         const PoolAnswer* status = status_of(r);
         return is_pool(r) && status != nullptr
                    ? Cell(Percent{status->metadata_used, status->metadata_blocks})
                    : Cell();
     },
     needs_servers},
    {"move_pv", "Move", FieldKind::text, "Always empty here.",
     [](const Row&) -> Cell { return {}; }},
    {"mirror_log", "Log", FieldKind::text, "Always empty here.",
     [](const Row&) -> Cell { return {}; }},
    {"copy_percent", "Cpy%Sync", FieldKind::percent, "Always empty here.",
     [](const Row&) -> Cell { return {}; }},
    {"convert_lv", "Convert", FieldKind::text, "Always empty here.",
     [](const Row&) -> Cell { return {}; }},
    {"lv_full_name", "LV", FieldKind::text, "Group and name.",
     [](const Row& r) -> Cell { return fmt::format("{}/{}", r.in->group.name, shown_name(r)); }},
    {"lv_uuid", "LV UUID", FieldKind::text, "Identity.",
     [](const Row& r) -> Cell { return grouped_uuid(r.lv->uuid); }},
    {"lv_path", "Path", FieldKind::text, "/dev/VG/LV, where there is such a device.",
     [](const Row& r) -> Cell {
         return r.hidden ? Cell()
                         : if_there(fmt::format("/dev/{}/{}", r.in->group.name, r.lv->name));
     }},
    {"lv_dm_path", "DMPath", FieldKind::text, "Below /dev/mapper, where there is such a device.",
     [](const Row& r) -> Cell {
         return r.hidden ? Cell()
                         : if_there("/dev/mapper/" + mapper_name(r.in->group.name, r.lv->name));
     }},
    {"lv_parent", "Parent", FieldKind::text, "Of a hidden volume: the pool it is a part of.",
     [](const Row& r) -> Cell {
         return r.hidden && r.pool != nullptr ? Cell(r.pool->lv.name) : Cell();
     }},
    {"lv_layout", "Layout", FieldKind::list, "Layout.",
     [](const Row& r) -> Cell {
         if (r.hidden) return Words{"linear"};
         return Words{"thin", r.thin != nullptr ? "sparse" : "pool"};
     }},
    {"lv_role", "Role", FieldKind::list, "Role.", [](const Row& r) -> Cell { return roles(r); },
     needs_children},
    {"lv_permissions", "LPerms", FieldKind::text, "Whether it may be written.",
     [](const Row& r) -> Cell { return text_cell(permission_words[r.lv->read_only ? 1 : 0]); },
     needs_nothing, permission_words},
    {"lv_allocation_policy", "AllocPol", FieldKind::text, "Allocation policy: the group's.",
     [](const Row&) -> Cell { return text_cell("inherit"); }, needs_nothing, allocation_words},
    {"lv_active", "Active", FieldKind::text, "active, or empty.",
     [](const Row& r) -> Cell { return is_active(r) ? text_cell("active") : Cell(); },
     needs_servers, active_words},
    {"lv_active_locally", "ActLocal", FieldKind::flag, "Whether it is active here.",
     [](const Row& r) -> Cell { return yes_no(is_active(r), locally_word[0]); }, needs_servers,
     locally_word},
    {"lv_active_exclusively", "ActExcl", FieldKind::flag,
     "Whether it is active here and nowhere else.",
     [](const Row& r) -> Cell { return yes_no(is_active(r), exclusively_word[0]); }, needs_servers,
     exclusively_word},
    {"lv_device_open", "DevOpen", FieldKind::flag,
     "Whether a client is connected; unknown when inactive.",
     [](const Row& r) -> Cell { return is_active(r) ? yes_no(is_open(r), open_word[0]) : Cell(); },
     needs_servers, open_word},
    {"lv_skip_activation", "SkipAct", FieldKind::flag, "Whether activation is skipped without -K.",
     [](const Row& r) -> Cell {
         return yes_no(r.thin != nullptr && r.thin->skip_activation, skip_word[0]);
     },
     needs_nothing, skip_word},
    {"lv_autoactivation", "AutoAct", FieldKind::flag, "Whether it is activated at boot.",
     [](const Row& r) -> Cell {
         return yes_no(!r.in->not_autoactivated.contains(r.lv->id), enabled_word[0]);
     },
     needs_nothing, enabled_word},
    {"lv_merging", "Merging", FieldKind::flag, "Whether a merge is pending, of it or into it.",
     [](const Row& r) -> Cell {
         return yes_no(merges(r) || holds(r.in->merged_into, r), merging_word[0]);
     },
     needs_nothing, merging_word},
    {"lv_health_status", "Health", FieldKind::text, "Empty when fine.",
     [](const Row& r) -> Cell { return text_or_nothing(health_of(r)); }, needs_servers,
     health_words},
    {"lv_check_needed", "CheckNeeded", FieldKind::flag,
     "Whether the pool's metadata ask for a check; unknown when inactive.",
     [](const Row& r) -> Cell {
         if (!is_pool(r)) return Flag{false, check_word[0]};
         const PoolAnswer* status = status_of(r);
         return status == nullptr ? Cell() : yes_no(status->needs_check, check_word[0]);
     },
     needs_servers, check_word},
    {"pool_mode", "Mode", FieldKind::text,
     "Of an active pool: the mode it is in, in the kernel's words.",
     [](const Row& r) -> Cell {
         return is_pool(r) && status_of(r) != nullptr ? text_cell(status_of(r)->mode) : Cell();
     },
     needs_servers, mode_words},
    {"lv_metadata_size", "MSize", FieldKind::size, "Of a pool: size of its metadata.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? Cell(segments_size(r, SegmentRole::metadata)) : Cell();
     }},
    {"origin_uuid", "Origin UUID", FieldKind::text, "Identity of the origin.",
     [](const Row& r) -> Cell {
         const ThinRow* origin = origin_of(r, r.thin);
         return origin == nullptr ? Cell() : Cell(grouped_uuid(origin->lv.uuid));
     }},
    {"origin_size", "OSize", FieldKind::size, "Size of the origin.",
     [](const Row& r) -> Cell {
         const ThinRow* origin = origin_of(r, r.thin);
         return origin == nullptr ? Cell() : Cell(origin->size);
     }},
    {"lv_ancestors", "Ancestors", FieldKind::list, "Origin, its origin, and so on.",
     [](const Row& r) -> Cell { return ancestors(r); }, needs_ancestors},
    {"lv_full_ancestors", "FAncestors", FieldKind::list, "The same: no history is kept.",
     [](const Row& r) -> Cell { return ancestors(r); }, needs_ancestors},
    {"lv_descendants", "Descendants", FieldKind::list, "Snapshots, their snapshots, and so on.",
     [](const Row& r) -> Cell { return descendants(r); }, needs_descendants},
    {"lv_full_descendants", "FDescendants", FieldKind::list, "The same: no history is kept.",
     [](const Row& r) -> Cell { return descendants(r); }, needs_descendants},
    {"lv_tags", "LV Tags", FieldKind::list, "Tags.",
     [](const Row& r) -> Cell {
         const Words* tags = r.hidden ? nullptr : found(r.in->lv_tags, r.lv->id);
         return tags == nullptr ? Words{} : *tags;
     },
     needs_tags},
    {"lv_time", "CTime", FieldKind::time, "When it was made.",
     [](const Row& r) -> Cell { return Time{r.lv->created}; }},
    {"lv_exclusive", "Excl", FieldKind::size, "Of a volume: what its removal alone would free.",
     [](const Row& r) -> Cell {
         const Bytes* freed = r.thin == nullptr ? nullptr : found(r.in->exclusive, r.lv->id);
         return freed == nullptr ? Cell() : Cell(*freed);
     },
     needs_exclusive},
    {"selected_freed", "SelFreed", FieldKind::size,
     "What removing all volumes of this report would free in the pool.",
     [](const Row& r) -> Cell {
         const Bytes* freed =
             pool_of(r) == nullptr ? nullptr : found(r.in->freed_together, pool_of(r)->lv.id);
         return freed == nullptr || r.hidden ? Cell() : Cell(*freed);
     },
     needs_selected},
    {"thin_id", "ThId", FieldKind::number, "Number inside the pool.",
     [](const Row& r) -> Cell {
         return r.thin == nullptr ? Cell() : number_cell(r.thin->thin_id.n());
     }},
    {"thin_count", "#Thins", FieldKind::number, "Of a pool: volumes in it.",
     [](const Row& r) -> Cell {
         const std::uint64_t* n = is_pool(r) ? found(r.in->volumes_in, r.lv->id) : nullptr;
         return n == nullptr ? Cell() : number_cell(*n);
     },
     needs_counts},
    {"transaction_id", "TransId", FieldKind::number,
     "Of a pool: the transaction id that its metadata must have.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? number_cell(r.pool->transaction_id.n) : Cell();
     }},
    {"chunk_size", "Chunk", FieldKind::size, "Of a pool: unit of allocation and sharing.",
     [](const Row& r) -> Cell { return is_pool(r) ? Cell(to_bytes(r.pool->chunk_size)) : Cell(); }},
    {"zero", "Zero", FieldKind::flag, "Of a pool: whether new chunks are zeroed.",
     [](const Row& r) -> Cell { return yes_no(is_pool(r) && r.pool->zero, zero_word[0]); },
     needs_nothing, zero_word},
    {"discards", "Discards", FieldKind::text, "Of a pool: what is to become of discards.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? text_cell(discards_word(r.pool->discards)) : Cell();
     },
     needs_nothing, discards_words},
    {"kernel_discards", "KDiscards", FieldKind::text,
     "Of a pool: what becomes of discards, with devices that may not take them.",
     effective_discards, needs_nothing, discards_words},
    {"lv_when_full", "WhenFull", FieldKind::text,
     "Of a pool: whether writes wait for room or fail when it is full.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? text_cell(full_words[r.pool->error_when_full ? 0 : 1]) : Cell();
     },
     needs_nothing, full_words},
    {"no_space_timeout", "Timeout", FieldKind::number,
     "Of a pool: seconds that writes wait for room; 0: for ever.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? number_cell(static_cast<std::uint64_t>(r.pool->no_space_timeout))
                           : Cell();
     }},
    {"lent_to", "Lent", FieldKind::text, "Of a pool: who has it instead of Thinvol.",
     [](const Row& r) -> Cell {
         return is_pool(r) && r.pool->lent_to == LentTo::kernel ? text_cell("kernel") : Cell();
     },
     needs_nothing, kernel_word},
    {"data_lv", "Data", FieldKind::text, "Of a pool: its hidden data volume.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? Cell(fmt::format("[{}_tdata]", r.lv->name)) : Cell();
     }},
    {"metadata_lv", "Meta", FieldKind::text, "Of a pool: its hidden metadata volume.",
     [](const Row& r) -> Cell {
         return is_pool(r) ? Cell(fmt::format("[{}_tmeta]", r.lv->name)) : Cell();
     }},
    {"pool_lv_uuid", "Pool UUID", FieldKind::text, "Identity of the pool a volume is in.",
     [](const Row& r) -> Cell {
         return r.thin == nullptr ? Cell() : Cell(grouped_uuid(pool_of(r)->lv.uuid));
     }},
    {"seg_count", "#Seg", FieldKind::number, "Segments.",
     [](const Row& r) -> Cell { return number_cell(segment_count(r)); }},
    {"uri", "URI", FieldKind::text, "Where clients reach an active volume.",
     [](const Row& r) -> Cell {
         return activation_of(r) == nullptr ? Cell() : Cell(activation_of(r)->uri);
     },
     needs_servers},
    {"device", "Device", FieldKind::text, "Block device of this host that an active volume is.",
     [](const Row& r) -> Cell {
         return activation_of(r) == nullptr ? Cell() : Cell(activation_of(r)->device);
     },
     needs_servers},
    {"clients", "Clients", FieldKind::number, "Clients connected to an active volume.",
     [](const Row& r) -> Cell {
         return activation_of(r) == nullptr ? Cell() : number_cell(activation_of(r)->clients);
     },
     needs_servers},
    {"read_ios", "Reads", FieldKind::number, "Reads by clients since the volume was activated.",
     [](const Row& r) {
         return of_active(r,
                          [](const ActiveVolume& v) -> Cell { return number_cell(v.io.read.ios); });
     },
     needs_servers},
    {"write_ios", "Writes", FieldKind::number, "Writes, likewise.",
     [](const Row& r) {
         return of_active(
             r, [](const ActiveVolume& v) -> Cell { return number_cell(v.io.write.ios); });
     },
     needs_servers},
    {"flush_ios", "FlushReqs", FieldKind::number, "Flushes that clients asked for, likewise.",
     [](const Row& r) {
         return of_active(
             r, [](const ActiveVolume& v) -> Cell { return number_cell(v.io.flush.ios); });
     },
     needs_servers},
    {"trim_ios", "Trims", FieldKind::number, "Discards, likewise.",
     [](const Row& r) {
         return of_active(r,
                          [](const ActiveVolume& v) -> Cell { return number_cell(v.io.trim.ios); });
     },
     needs_servers},
    {"zero_ios", "Zeroes", FieldKind::number, "Requests to write zeroes, likewise.",
     [](const Row& r) {
         return of_active(r,
                          [](const ActiveVolume& v) -> Cell { return number_cell(v.io.zero.ios); });
     },
     needs_servers},
    {"read_bytes", "ReadB", FieldKind::size,
     "Bytes read by clients since the volume was activated.",
     [](const Row& r) {
         return of_active(r, [](const ActiveVolume& v) -> Cell { return Bytes(v.io.read.bytes); });
     },
     needs_servers},
    {"write_bytes", "WriteB", FieldKind::size, "Bytes written, likewise.",
     [](const Row& r) {
         return of_active(r, [](const ActiveVolume& v) -> Cell { return Bytes(v.io.write.bytes); });
     },
     needs_servers},
    {"trim_bytes", "TrimB", FieldKind::size, "Bytes discarded, likewise.",
     [](const Row& r) {
         return of_active(r, [](const ActiveVolume& v) -> Cell { return Bytes(v.io.trim.bytes); });
     },
     needs_servers},
    {"zero_bytes", "ZeroB", FieldKind::size, "Bytes zeroed by requests for that, likewise.",
     [](const Row& r) {
         return of_active(r, [](const ActiveVolume& v) -> Cell { return Bytes(v.io.zero.bytes); });
     },
     needs_servers},
    {"read_iops", "R/s", FieldKind::number, "Reads a second, over the last five seconds.",
     [](const Row& r) {
         return of_active(
             r, [](const ActiveVolume& v) -> Cell { return number_cell(v.rates.read_ios); });
     },
     needs_servers},
    {"write_iops", "W/s", FieldKind::number, "Writes a second, likewise.",
     [](const Row& r) {
         return of_active(
             r, [](const ActiveVolume& v) -> Cell { return number_cell(v.rates.write_ios); });
     },
     needs_servers},
    {"read_rate", "RB/s", FieldKind::size, "Bytes read a second, likewise.",
     [](const Row& r) {
         return of_active(r,
                          [](const ActiveVolume& v) -> Cell { return Bytes(v.rates.read_bytes); });
     },
     needs_servers},
    {"write_rate", "WB/s", FieldKind::size, "Bytes written a second, likewise.",
     [](const Row& r) {
         return of_active(r,
                          [](const ActiveVolume& v) -> Cell { return Bytes(v.rates.write_bytes); });
     },
     needs_servers},
    {"nbd_iops_maximum", "MaxIOPS", FieldKind::number,
     "Requests a second that clients may make, as nbd.iops_maximum says it; empty: no limit.",
     [](const Row& r) -> Cell {
         const SettingValue* value = setting_of(r, "nbd.iops_maximum");
         const std::uint64_t n = value == nullptr ? 0 : *parse_number(value->front());
         return n == 0 ? Cell() : number_cell(n);
     },
     needs_settings},
    {"nbd_bandwidth_maximum", "MaxB/s", FieldKind::size,
     "Bytes a second that they may read and write, as nbd.bandwidth_maximum says it.",
     [](const Row& r) -> Cell {
         const SettingValue* value = setting_of(r, "nbd.bandwidth_maximum");
         const Bytes n = value == nullptr ? Bytes(0) : parse_size(value->front(), 'm')->size;
         return n == Bytes(0) ? Cell() : n;
     },
     needs_settings},
    {"nbd_access", "Access", FieldKind::text, "Who may do what, as nbd.access says it.",
     [](const Row& r) -> Cell {
         const SettingValue* value = setting_of(r, "nbd.access");
         return value == nullptr ? Cell() : text_or_nothing(value->front());
     },
     needs_settings},
    {"server_pid", "PID", FieldKind::number, "Process that serves the pool.",
     [](const Row& r) -> Cell {
         return status_of(r) == nullptr ? Cell() : Cell(status_of(r)->pid);
     },
     needs_servers},
    {"server_privileges", "Privileges", FieldKind::text,
     "What that process may do: its user, capabilities, whether programs it starts may have more, "
     "and whether it leaves core dumps.",
     [](const Row& r) -> Cell {
         return status_of(r) == nullptr ? Cell() : text_or_nothing(status_of(r)->privileges);
     },
     needs_servers},
    {"server_flushes", "Flushes", FieldKind::number,
     "Flushes the pool's server has asked of physical volumes.",
     [](const Row& r)
         -> Cell { return status_of(r) == nullptr ? Cell() : number_cell(status_of(r)->flushes); },
     needs_servers},
};

constexpr Field segment_table[] = {
    {"segtype", "Type", FieldKind::text, "Kind of the segment.",
     [](const Row& r) -> Cell {
         return text_cell(layout_kinds[r.hidden ? 0 : r.thin != nullptr ? 1 : 2]);
     },
     needs_segments, layout_kinds},
    {"stripes", "#Str", FieldKind::number, "Stripes of the segment; a thin volume has none.",
     [](const Row& r) -> Cell { return std::int64_t{r.thin != nullptr ? 0 : 1}; }, needs_segments},
    {"seg_start", "Start", FieldKind::size, "Where the segment begins in the volume.",
     [](const Row& r) -> Cell {
         return r.segment == nullptr ? Bytes(0) : of_extents(r, r.segment->start);
     },
     needs_segments},
    {"seg_start_pe", "Start", FieldKind::number, "The same, in extents.",
     [](const Row& r) -> Cell {
         return number_cell(r.segment == nullptr ? 0 : r.segment->start.n);
     },
     needs_segments},
    {"seg_size", "SSize", FieldKind::size, "Size of the segment.",
     [](const Row& r) -> Cell {
         return r.segment == nullptr ? size_of(r) : of_extents(r, r.segment->length);
     },
     needs_segments},
    {"seg_size_pe", "SSize", FieldKind::number, "The same, in extents.",
     [](const Row& r) -> Cell {
         return number_cell(r.segment == nullptr ? extents_in(r, size_of(r)).n
                                                 : r.segment->length.n);
     },
     needs_segments},
    {"devices", "Devices", FieldKind::list,
     "What lies under the segment, with the first extent there.",
     [](const Row& r) -> Cell { return devices(r, "tdata"); }, needs_segments},
    {"metadata_devices", "MDevices", FieldKind::list, "Of a pool: what lies under its metadata.",
     [](const Row& r) -> Cell { return is_pool(r) ? devices(r, "tmeta") : Cell(Words{}); },
     needs_segments},
    {"seg_pe_ranges", "PE Ranges", FieldKind::list,
     "Extents of physical volumes under the segment.",
     [](const Row& r) -> Cell { return extent_ranges(r); }, needs_segments},
};

}  // namespace

std::span<const Field> volume_fields() { return volume_table; }
std::span<const Field> segment_fields() { return segment_table; }

}  // namespace thinvol
