#include "commands/values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "libvm/device_policy.h"
#include "libvm/names.h"
#include "libvm/settings.h"
#include "libvm/sizes.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

struct ValueKind {
    Value value;
    std::string_view metavariable;
    std::span<const std::string_view> words{};
    Result<> (*check)(std::string_view) = nullptr;
};

template <auto parse, auto... arguments>
Result<> parses(std::string_view text) {
    TRY(parse(text, arguments...));
    return {};
}

Result<> check_device_map(std::string_view text) {
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos && equals > 0 && equals + 1 < text.size()) return {};
    return Error(Errc::invalid_argument, fmt::format("\"{}\" is not of the form PV=DEVICE", text));
}

constexpr std::array<std::string_view, 2> yes_no{"y", "n"};
constexpr std::array<std::string_view, 3> permissions{"r", "rw", "wr"};
constexpr std::array<std::string_view, 3> activations{"y", "n", "ay"};
constexpr std::array<std::string_view, 6> export_kinds{"nbd",      "ublk",           "nbd-kernel",
                                                       "nbd,ublk", "nbd,nbd-kernel", "auto"};
constexpr std::array<std::string_view, 3> discards{"passdown", "nopassdown", "ignore"};
constexpr std::array<std::string_view, 3> report_formats{"basic", "json", "json_std"};
constexpr std::array<std::string_view, 1> lend_targets{"kernel"};
constexpr std::array<std::string_view, 3> allocations{"contiguous", "cling", "normal"};
constexpr std::array<std::string_view, 3> dump_formats{"xml", "xml-shared", "raw"};
constexpr std::array<std::string_view, 6> image_formats{"raw",  "qcow2", "vdi",
                                                        "vhdx", "vmdk",  "vpc"};
constexpr std::array<std::string_view, 5> pool_features{"skip_block_zeroing", "ignore_discard",
                                                        "no_discard_passdown", "read_only",
                                                        "error_if_no_space"};
constexpr std::array<std::string_view, 8> pool_actions{"create", "status", "message", "extend",
                                                       "read",   "write",  "zero",    "discard"};

Result<> check_seconds(std::string_view text) {
    constexpr std::uint64_t day = 24 * 60 * 60;
    const auto n = parse_number(text);
    if (n && *n <= day) return {};
    return Error(Errc::invalid_argument, "a number of seconds, a day's at most, is wanted");
}

Result<> check_export_kinds(std::string_view text) {
    TRY(ExportKinds::parse(text));
    return {};
}

constexpr ValueKind kinds[] = {
    {Value::none, ""},
    {Value::text, "String"},
    {Value::number, "Number", {}, parses<parse_number>},
    {Value::size, "[+|-]Size[bskmgtpe]", {}, parses<parse_size, 'm'>},
    {Value::extents, "[+|-]Number[%VG|%FREE|%PVS|%LV]", {}, parses<parse_extents>},
    {Value::chunk_size, "Size[bskmgtpe]", {}, parses<parse_size, 'k'>},
    {Value::units, "[Number]rRhHbBsSkKmMgGtTpPeE", {}, parses<parse_units>},
    {Value::separator, "String"},
    {Value::fields, "[+|-]Field,..."},
    {Value::sort_fields, "[-]Field,..."},
    {Value::selection, "Criteria"},
    {Value::file, "File"},
    {Value::name, "Name"},
    {Value::name_pattern, "Name|Pattern"},
    {Value::tag, "Tag", {}, parses<parse_tag>},
    {Value::group, "VG"},
    {Value::pool, "VG/Pool"},
    {Value::thin, "VG/Thin"},
    {Value::snapshot, "VG/Snapshot"},
    {Value::volume, "VG/LV"},
    {Value::group_or_volume, "VG|VG/LV"},
    {Value::physical_volume, "PV"},
    {Value::any_device, "File|Device"},
    {Value::yes_no, "y|n", yes_no},
    {Value::permission, "r|rw", permissions},
    {Value::activation, "y|n|ay", activations},
    {Value::export_kinds, "nbd|ublk|nbd-kernel|auto", export_kinds, check_export_kinds},
    {Value::discards, "passdown|nopassdown|ignore", discards},
    {Value::report_format, "basic|json|json_std", report_formats},
    {Value::dump_format, "xml|xml-shared|raw", dump_formats},
    {Value::image_format, "raw|qcow2|vdi|vhdx|vmdk|vpc", image_formats},
    {Value::pool_feature, "Feature", pool_features},
    {Value::pool_action, "Action", pool_actions},
    {Value::seconds, "Seconds", {}, check_seconds},
    {Value::lend_target, "kernel", lend_targets},
    {Value::allocation, "contiguous|cling|normal", allocations},
    {Value::device_map, "PV=Device", {}, check_device_map},
    {Value::setting, "Key=Value", {}, parses<parse_assignment>},
    {Value::setting_key, "Key", {}, parses<find_setting>},
    {Value::command, "Command"},
};

const ValueKind& kind_of(Value value) {
    return *std::find_if(std::begin(kinds), std::end(kinds),
                         [&](const ValueKind& k) { return k.value == value; });
}

}  // namespace

std::string_view metavariable(Value value) { return kind_of(value).metavariable; }
std::span<const std::string_view> words_of(Value value) { return kind_of(value).words; }

Result<> check_value(Value value, std::string_view text) {
    const ValueKind& kind = kind_of(value);
    if (kind.check != nullptr) return kind.check(text);
    if (kind.words.empty() ||
        std::find(kind.words.begin(), kind.words.end(), text) != kind.words.end())
        return {};
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" is not one of {}", text, fmt::join(kind.words, ", ")));
}

}  // namespace thinvol
