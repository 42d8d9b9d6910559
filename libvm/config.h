// Config: the values that hold for one command, group, pool or volume, and where each comes from.
//
// Looked up with --config first, then for the volume, for the pool, for the group, in thinvol.toml,
// and in the declaration's default.
//
// Units       as the settings'
// Invariants  (1) every setting has a value, which passed its check
//             (2) what is stored for a group, pool or volume goes with it
// Errors      invalid_argument: the file, an option or a stored value is wrong, and where
// Threads     externally synchronised
// Source      lvmconfig(8)
#pragma once

#include <unordered_map>

#include "libvm/session.h"
#include "libvm/settings.h"

namespace thinvol {

enum class SettingSource { fallback, file, group, pool, volume, command };
std::string_view name_of(SettingSource source);

std::filesystem::path config_path(const Environment& environment);

class Config {
public:
    // Of the environment alone.
    static Result<Config> load(const Environment& environment);
    // For the group, for one of its pools, or for a volume in that.
    static Result<Config> load(Session& session, std::int64_t vg_id, std::int64_t pool_id = 0,
                               std::int64_t thin_lv_id = 0);

    bool flag(std::string_view key) const { return value(key).front() == "true"; }
    std::int64_t number(std::string_view key) const;
    Bytes size(std::string_view key) const;
    const std::string& word(std::string_view key) const { return value(key).front(); }
    const SettingValue& value(std::string_view key) const;
    SettingSource source(std::string_view key) const;
    // Whether the data (or metadata) of the pool grow by themselves.
    bool autoextends_data() const { return number("autoextend.data_threshold") < 100; }
    bool autoextends_metadata() const { return number("autoextend.metadata_threshold") < 100; }
    std::vector<unsigned> warning_levels() const;  // ascending

private:
    struct Effective {
        SettingValue value;
        SettingSource source = SettingSource::fallback;
    };
    Config();
    Result<> add_file(const Environment& environment);
    Result<> add_options(const Environment& environment);
    void set(const Assignment& assignment, SettingSource source);
    std::vector<Effective> values_;  // in the order of all_settings()
};

// --- what the catalog keeps for a group (`lv_id` 0), a pool or a volume; changed inside a
// Transaction
Result<std::vector<Assignment>> stored_settings(Catalog& catalog, std::int64_t vg_id,
                                                std::int64_t lv_id);
// All of the group's, by volume.
Result<std::unordered_map<std::int64_t, std::vector<Assignment>>> stored_settings(
    Catalog& catalog, std::int64_t vg_id);
// invalid_argument: it cannot be set for that, which is a `what`.
Result<> store_setting(Catalog& catalog, std::int64_t vg_id, std::int64_t lv_id, SettingScope what,
                       const Assignment& assignment);
// Not stored: nothing happens.
Result<> forget_setting(Catalog& catalog, std::int64_t vg_id, std::int64_t lv_id,
                        const SettingSpec& spec);
// As the one volume has it, so the other.
Result<> copy_setting(Catalog& catalog, std::int64_t from_lv_id, std::int64_t to_lv_id,
                      std::string_view key);

}  // namespace thinvol
