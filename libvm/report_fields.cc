#include "libvm/report_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace thinvol {
namespace {

// The tables of a report, with the prefixes that name them as a set.
struct Table {
    std::string_view prefix;
    std::span<const Field> fields;
};
std::vector<Table> tables_of(ReportKind kind) {
    switch (kind) {
        case ReportKind::volumes:
            return {{"lv", volume_fields()}, {"seg", segment_fields()}, {"vg", group_fields()}};
        case ReportKind::groups: return {{"vg", group_fields()}};
        case ReportKind::physical_volumes: return {{"pv", pv_fields()}, {"vg", group_fields()}};
    }
    return {};
}

std::vector<const Field*> collect(ReportKind kind) {
    std::vector<const Field*> fields;
    for (const Table& table : tables_of(kind)) {
        for (const Field& f : table.fields) fields.push_back(&f);
    }
    return fields;
}

// Insertions, deletions and changes that make one word of the other.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
        }
    }
    return row.back();
}

}  // namespace

std::string_view name_of(FieldKind kind) {
    constexpr std::array<std::string_view, 7> names{"text", "number", "size", "percent",
                                                    "list", "flag",   "time"};
    return names[static_cast<std::size_t>(kind)];
}

const std::vector<const Field*>& fields_of(ReportKind kind) {
    static const std::array all{collect(ReportKind::volumes), collect(ReportKind::groups),
                                collect(ReportKind::physical_volumes)};
    return all[static_cast<std::size_t>(kind)];
}

std::vector<const Field*> field_set(ReportKind kind, std::string_view name) {
    std::vector<const Field*> fields;
    for (const Table& table : tables_of(kind)) {
        if (name != "all" && name != fmt::format("{}_all", table.prefix)) continue;
        // A row for each segment is for who asks for segments.
        const bool segments = table.prefix == "seg" || name == "pvseg_all";
        for (const Field& f : table.fields) {
            if (segments || (f.needs & (needs_segments | needs_exclusive | needs_selected)) == 0)
                fields.push_back(&f);
        }
    }
    if (name == "all")
        std::erase_if(fields, [](const Field* f) { return (f->needs & needs_segments) != 0; });
    return fields;
}

std::vector<std::string> default_fields(ReportKind kind, bool segments) {
    switch (kind) {
        case ReportKind::volumes:
            if (segments)
                return {"lv_name", "vg_name", "lv_attr", "stripes", "segtype", "seg_size"};
            return {"lv_name", "vg_name",    "lv_attr",      "lv_size",
                    "pool_lv", "origin",     "data_percent", "metadata_percent",
                    "move_pv", "mirror_log", "copy_percent", "convert_lv"};
        case ReportKind::groups:
            return {"vg_name", "pv_count", "lv_count", "snap_count",
                    "vg_attr", "vg_size",  "vg_free"};
        case ReportKind::physical_volumes:
            if (segments)
                return {"pv_name", "vg_name", "pv_fmt",      "pv_attr",
                        "pv_size", "pv_free", "pvseg_start", "pvseg_size"};
            return {"pv_name", "vg_name", "pv_fmt", "pv_attr", "pv_size", "pv_free"};
    }
    return {};
}

std::vector<std::string> default_sort(ReportKind kind) {
    switch (kind) {
        case ReportKind::volumes: return {"vg_name", "lv_name"};
        case ReportKind::groups: return {"vg_name"};
        case ReportKind::physical_volumes: return {"pv_name"};
    }
    return {};
}

Result<const Field*> find_field(ReportKind kind, std::string_view name) {
    const auto& fields = fields_of(kind);
    for (const std::string_view prefix : {"", "lv_", "vg_", "pv_", "seg_"}) {
        for (const Field* f : fields) {
            if (f->name.starts_with(prefix) && f->name.substr(prefix.size()) == name) return f;
        }
    }
    constexpr std::size_t longest = 100;  // what is longer is near to nothing
    const std::string_view start = name.substr(0, longest);
    const auto* const nearest =
        *std::min_element(fields.begin(), fields.end(), [&](const Field* a, const Field* b) {
            return distance(a->name, start) < distance(b->name, start);
        });
    return Error(
        Errc::not_found,
        fmt::format("unrecognised field \"{}\"; did you mean \"{}\"? \"-o help\" lists all", start,
                    nearest->name));
}

}  // namespace thinvol
