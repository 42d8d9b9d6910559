// settings: what a user may set, each declared once: reading, checking, `thinvol config` and the
// file's template are made from it.
//
// Units       in the setting's help
// Invariants  (1) sorted by section, keys unique, each default passes its own check
//             (2) a value that was checked converts: the numbers of a number, the bytes of a size
// Errors      invalid_argument: an unknown key, with the nearest; a value out of its range
// Threads     any; constants and values
// Source      lvm.conf(5), in TOML
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

enum class SettingType { flag, number, size, word, text, strings, numbers };
// The smallest thing that a setting can be given for, besides the file.
enum class SettingScope { system, group, pool, volume };

struct SettingSpec {
    std::string_view key;  // "section.name"
    SettingType type;
    std::string_view fallback;  // as in TOML
    SettingScope scope;
    std::string_view help;
    std::int64_t least = 0;  // of numbers
    std::int64_t most = 0;
    std::span<const std::string_view> words{};
    Result<> (*check)(std::string_view value) = nullptr;  // of texts
};

std::span<const SettingSpec> all_settings();
Result<const SettingSpec*> find_setting(std::string_view key);

// One item, but for lists.
using SettingValue = std::vector<std::string>;

// As on a command line or in the catalog: TOML, where strings need no quotes.
Result<SettingValue> parse_setting(const SettingSpec& spec, std::string_view text);
// What has the right type may still be out of range.
Result<SettingValue> check_setting(const SettingSpec& spec, SettingValue value);
SettingValue default_of(const SettingSpec& spec);
std::string to_toml(const SettingSpec& spec, const SettingValue& value);
// "a number from 50 to 100"
std::string describe_type(const SettingSpec& spec);
std::string_view name_of(SettingScope scope);

struct Assignment {
    const SettingSpec* spec = nullptr;
    SettingValue value;
};
// "section.name=value"
Result<Assignment> parse_assignment(std::string_view text);

// A whole thinvol.toml, each setting explained and commented out.
std::string settings_template();

}  // namespace thinvol
