#include "libvm/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>

#include <nlohmann/json.hpp>

#include "engine/base/assert.h"
#include "libvm/device_policy.h"
#include "libvm/nbd_access.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr std::array<std::string_view, 3> discards{"passdown", "nopassdown", "ignore"};
constexpr std::array<std::string_view, 3> socket_modes{"0600", "0660", "0666"};
constexpr std::array<std::string_view, 2> privileges{"least", "all"};
constexpr std::array<std::string_view, 3> tls_modes{"off", "allow", "require"};
constexpr std::int64_t day = 24 * 60 * 60;

using Type = SettingType;
using Scope = SettingScope;

Result<> check_access(std::string_view text) {
    TRY(NbdAccess::parse(text));
    return {};
}

Result<> check_export(std::string_view text) {
    TRY(ExportKinds::parse(text));
    return {};
}

constexpr SettingSpec table[] = {
    {"activation.export",
     Type::text,
     "\"nbd\"",
     Scope::volume,
     "How an active volume is reached: nbd, by clients; ublk or nbd-kernel, as a block device of "
     "this host; two of them, as in \"nbd,ublk\"; auto, as ublk where the kernel has it and else "
     "as nbd. tvchange -ay --export sets it.",
     0,
     0,
     {},
     check_export},
    {"activation.idle_timeout", Type::number, "10", Scope::system,
     "Seconds until a pool's server that nobody asked to activate anything ends.", 1, day},
    {"activation.privileges", Type::word, "\"least\"", Scope::pool,
     "What a pool's server keeps of the privileges it is started with: least, what serving takes, "
     "and its hooks have no more, and no setuid programs; all, for hooks that need them.",
     0, 0, privileges},
    {"activation.skip_snapshots", Type::flag, "true", Scope::pool,
     "New snapshots are flagged to be skipped by activation, as with -ky."},
    {"activation.stop_timeout", Type::number, "10", Scope::pool,
     "Seconds that a pool's server gives its clients and devices when it is to end.", 1, day},
    {"activation.systemd", Type::flag, "false", Scope::system,
     "Pools' servers are started as units of systemd, which start them again if they die."},
    {"allocation.chunk_size", Type::size, "\"0\"", Scope::group,
     "Chunk size of new pools: 64k to 1g, a multiple of 64k; 0 chooses by the pool's size."},
    {"allocation.discards", Type::word, "\"passdown\"", Scope::group,
     "What becomes of discards in new pools.", 0, 0, discards},
    {"allocation.error_when_full", Type::flag, "false", Scope::group,
     "In new pools that are full, writes fail at once instead of waiting for room."},
    {"allocation.metadata_spare", Type::flag, "true", Scope::group,
     "A new pool makes or grows the group's spare for metadata."},
    {"allocation.no_space_timeout", Type::number, "60", Scope::group,
     "Seconds that writes wait for room in new pools that are full; 0: for ever.", 0, day},
    {"allocation.zero", Type::flag, "true", Scope::group,
     "New pools zero chunks before their first use."},
    {"autoextend.data_maximum", Type::size, "\"0\"", Scope::pool,
     "Size up to which the pool's data grow by themselves; 0: as far as the group has room."},
    {"autoextend.data_percent", Type::number, "20", Scope::pool,
     "By how much of their size the data grow, in percent; more where that stays above the "
     "threshold.",
     1, 1000},
    {"autoextend.data_threshold", Type::number, "100", Scope::pool,
     "Percent of the data in use at which the pool's server extends them; 100: never.", 50, 100},
    {"autoextend.metadata_maximum", Type::size, "\"0\"", Scope::pool,
     "Size up to which the pool's metadata grow by themselves; 0: as far as there is room."},
    {"autoextend.metadata_percent", Type::number, "20", Scope::pool,
     "By how much of their size the metadata grow, in percent.", 1, 1000},
    {"autoextend.metadata_threshold", Type::number, "100", Scope::pool,
     "Percent of the metadata in use at which the pool's server extends them, or before "
     "what the pool keeps for freeing is touched, a quarter, 4 MiB at most; 100: never.",
     50, 100},
    {"devices.connections", Type::number, "4", Scope::volume,
     "Connections of the kernel's NBD client to the pool's server.", 1, 64},
    {"devices.dead_timeout", Type::number, "30", Scope::volume,
     "Seconds that the kernel's NBD client holds requests back once its server is gone, before "
     "they "
     "fail.",
     0, day},
    {"devices.user_copy", Type::flag, "true", Scope::volume,
     "A ublk device's data are copied by the server where the kernel lets it, and only then take "
     "memory; false: by the driver."},
    {"events.hook", Type::strings, "[]", Scope::pool,
     "Program and arguments to run for each event, without a shell; the event is in THINVOL_* "
     "variables and, as JSON, on standard input. It has the server's privileges: see "
     "activation.privileges. Empty: none."},
    {"events.hook_maximum", Type::number, "4", Scope::pool,
     "Hooks of one pool that run at once; more wait.", 1, 64},
    {"events.hook_timeout", Type::number, "30", Scope::pool,
     "Seconds after which a hook is killed, with all that it started.", 1, day},
    {"events.syslog", Type::flag, "true", Scope::pool,
     "Events go to syslog, and so to the journal."},
    {"hooks.freeze", Type::strings, "[]", Scope::volume,
     "Program and arguments that hold a volume's users still before its snapshot is taken, such as "
     "one that has a guest's agent freeze its file systems. It runs without a shell, as who takes "
     "the snapshot, with THINVOL_VG, THINVOL_VOLUME and THINVOL_HOOK (freeze or thaw) set; if it "
     "fails, there is no snapshot. Empty: none."},
    {"hooks.thaw", Type::strings, "[]", Scope::volume,
     "The same, to let them go on: run whenever hooks.freeze was begun, whatever came of it."},
    {"hooks.timeout", Type::number, "30", Scope::volume,
     "Seconds after which one of these is killed, with all that it started, and has failed.", 1,
     day},
    {"nbd.access",
     Type::text,
     "\"\"",
     Scope::volume,
     "Who may do what, in rules WHO=RIGHT of which the first that fits decides. WHO is uid:NUMBER "
     "or "
     "gid:NUMBER of a client on the socket, cert:NAME (common name) or psk:NAME of one that proved "
     "it by TLS, or all; RIGHT is rw, ro or none. Whom no rule fits sees nothing. Empty: whoever "
     "was let in may do all. Holds for new clients.",
     0,
     0,
     {},
     check_access},
    {"nbd.bandwidth_maximum", Type::size, "\"0\"", Scope::volume,
     "Bytes a second that all clients of a volume together read and write; 0: no limit."},
    {"nbd.connections", Type::number, "1024", Scope::pool,
     "Clients that one pool serves at once; more are turned away.", 1, 65536},
    {"nbd.iops_maximum", Type::number, "0", Scope::volume,
     "Requests a second that all clients of a volume together make, flushes apart; 0: no limit.", 0,
     1'000'000'000},
    {"nbd.listen", Type::strings, "[]", Scope::pool,
     "Addresses that the pool's server serves besides its socket, such as \"10.0.0.1:10809\" or "
     "\"[::1]:10809\"; as all of nbd that is a pool's, from its next start on."},
    {"nbd.listen_without_tls", Type::flag, "false", Scope::pool,
     "Addresses that other machines reach are served even if TLS is not required."},
    {"nbd.memory_maximum", Type::number, "256", Scope::pool,
     "MiB that the clients of one pool may take up together with what they read and write, besides "
     "256 KiB of each. When it is used up, who asks for more waits, and who holds some of it for "
     "ten seconds without moving 1 MiB in five is dropped.",
     64, 1048576},
    {"nbd.negotiation_timeout", Type::number, "30", Scope::pool,
     "Seconds after which a client must have chosen its export.", 1, day},
    {"nbd.options", Type::number, "64", Scope::pool,
     "Options that a client may send before it chooses its export.", 8, 65536},
    {"nbd.payload_maximum", Type::number, "32", Scope::pool,
     "MiB that one read or write may carry.", 1, 32},
    {"nbd.socket_group", Type::text, "\"\"", Scope::pool,
     "Group that the pool's socket is given to, where nbd.socket_mode lets it in."},
    {"nbd.socket_mode", Type::word, "\"0600\"", Scope::pool,
     "Who may connect to the pool's socket: its owner, its group too, or everybody.", 0, 0,
     socket_modes},
    {"nbd.threads", Type::number, "0", Scope::pool,
     "Threads that serve the clients of one pool, and queues of each ublk device; 0: one a "
     "processor, four at most.",
     0, 16},
    {"nbd.tls", Type::word, "\"off\"", Scope::pool,
     "Whether clients may use TLS, or must, on the socket too.", 0, 0, tls_modes},
    {"nbd.tls_certificates", Type::text, "\"\"", Scope::pool,
     "Folder of ca-cert.pem, server-cert.pem, server-key.pem and, if there is one, ca-crl.pem."},
    {"nbd.tls_keys", Type::text, "\"\"", Scope::pool,
     "File of pre-shared keys, each a line NAME:HEXKEY, as psktool makes it."},
    {"nbd.tls_verify_clients", Type::flag, "true", Scope::pool,
     "A client without a pre-shared key must show a client's certificate that ca-cert.pem vouches "
     "for."},
    {"warnings.levels", Type::numbers, "[80, 85, 90, 95, 100]", Scope::pool,
     "Percent in use, of data and of metadata, each of which is an event when it is reached.", 1,
     100},
    {"warnings.overprovisioning", Type::flag, "true", Scope::pool,
     "Commands warn when the volumes may outgrow their pool and it does not extend itself."},
};

constexpr bool sorted_by_key() {
    for (std::size_t i = 1; i < std::size(table); ++i) {
        if (table[i - 1].key >= table[i].key) return false;
    }
    return true;
}
static_assert(sorted_by_key());

Error wrong(const SettingSpec& spec, std::string_view value) {
    return {Errc::invalid_argument,
            fmt::format("{} is {}: wanted is {}", spec.key, value, describe_type(spec))};
}

// How many letters to add, drop or change.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
        }
    }
    return row.back();
}

std::string_view unquoted(std::string_view text) {
    const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                        text.back() == text.front();
    return quoted ? text.substr(1, text.size() - 2) : text;
}

// TOML's arrays of strings and numbers are JSON's.
Result<SettingValue> parse_list(const SettingSpec& spec, std::string_view text) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_array()) return wrong(spec, text);
    SettingValue value;
    for (const auto& item : json) {
        if (spec.type == Type::strings ? !item.is_string() : !item.is_number_unsigned())
            return wrong(spec, text);
        value.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    }
    return value;
}

}  // namespace

std::span<const SettingSpec> all_settings() { return table; }

Result<const SettingSpec*> find_setting(std::string_view key) {
    const SettingSpec* nearest = table;
    for (const SettingSpec& spec : table) {
        if (spec.key == key) return &spec;
        if (distance(spec.key, key) < distance(nearest->key, key)) nearest = &spec;
    }
    return Error(Errc::invalid_argument,
                 fmt::format("there is no setting {}; the nearest is {}", key, nearest->key));
}

Result<SettingValue> check_setting(const SettingSpec& spec, SettingValue value) {
    if (spec.type == Type::flag && value.front() != "true" && value.front() != "false")
        return wrong(spec, value.front());
    if (spec.type == Type::size) {
        const auto size = parse_size(value.front(), 'm');
        if (!size || size->sign != Sign::none) return wrong(spec, value.front());
    }
    if (spec.type == Type::word &&
        std::find(spec.words.begin(), spec.words.end(), value.front()) == spec.words.end())
        return wrong(spec, value.front());
    if (spec.check != nullptr) TRY(within(spec.key, spec.check(value.front())));
    if (spec.type == Type::number || spec.type == Type::numbers) {
        for (const std::string& item : value) {
            const auto n = parse_number(item);
            if (!n || *n < static_cast<std::uint64_t>(spec.least) ||
                *n > static_cast<std::uint64_t>(spec.most))
                return wrong(spec, item);
        }
    }
    return value;
}

Result<SettingValue> parse_setting(const SettingSpec& spec, std::string_view text) {
    if (spec.type == Type::strings || spec.type == Type::numbers)
        return check_setting(spec, TRY(parse_list(spec, text)));
    if (spec.type == Type::text && text.starts_with('"')) {
        const auto json = nlohmann::json::parse(text, nullptr, false);
        if (!json.is_string()) return wrong(spec, text);
        return check_setting(spec, {json.get<std::string>()});
    }
    std::string_view word = unquoted(text);
    if (spec.type == Type::flag && (word == "y" || word == "1")) word = "true";
    if (spec.type == Type::flag && (word == "n" || word == "0")) word = "false";
    SettingValue value{std::string(word)};
    return check_setting(spec, std::move(value));
}

SettingValue default_of(const SettingSpec& spec) {
    auto value = parse_setting(spec, spec.fallback);
    ASSERT(value.has_value());
    return std::move(*value);
}

std::string to_toml(const SettingSpec& spec, const SettingValue& value) {
    const auto quoted = [](const std::string& s) { return nlohmann::json(s).dump(); };
    switch (spec.type) {
        case Type::flag:
        case Type::number: return value.front();
        case Type::size:
        case Type::word:
        case Type::text: return quoted(value.front());
        case Type::numbers: return fmt::format("[{}]", fmt::join(value, ", "));
        case Type::strings: break;
    }
    std::vector<std::string> items;
    std::transform(value.begin(), value.end(), std::back_inserter(items), quoted);
    return fmt::format("[{}]", fmt::join(items, ", "));
}

std::string describe_type(const SettingSpec& spec) {
    switch (spec.type) {
        case Type::flag: return "true or false";
        case Type::number: return fmt::format("a number from {} to {}", spec.least, spec.most);
        case Type::size: return "a size with its unit, such as \"10g\"";
        case Type::word: return fmt::format("one of {}", fmt::join(spec.words, ", "));
        case Type::text: return "a text, or empty";
        case Type::strings: return "a list of strings, such as [\"/usr/bin/program\", \"word\"]";
        case Type::numbers:
            return fmt::format("a list of numbers from {} to {}, such as [{}, {}]", spec.least,
                               spec.most, spec.least, spec.most);
    }
    return "";
}

std::string_view name_of(SettingScope scope) {
    switch (scope) {
        case Scope::system: return "thinvol.toml";
        case Scope::group: return "thinvol.toml, group";
        case Scope::pool: return "thinvol.toml, group, pool";
        case Scope::volume: return "thinvol.toml, group, pool, volume";
    }
    return "";
}

Result<Assignment> parse_assignment(std::string_view text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0)
        return Error(Errc::invalid_argument,
                     fmt::format("\"{}\" is not of the form section.name=value", text));
    Assignment assignment;
    assignment.spec = TRY(find_setting(text.substr(0, equals)));
    assignment.value = TRY(parse_setting(*assignment.spec, text.substr(equals + 1)));
    return assignment;
}

std::string settings_template() {
    std::string text =
        "# thinvol.toml: what Thinvol does where no option says otherwise.\n"
        "# A group's or pool's own settings (tvchange --setting) come before these.\n";
    std::string_view section;
    for (const SettingSpec& spec : table) {
        const std::size_t dot = spec.key.find('.');
        if (spec.key.substr(0, dot) != section) {
            section = spec.key.substr(0, dot);
            text += fmt::format("\n[{}]\n", section);
        }
        text += fmt::format("\n# {}\n# {}; can be set in: {}.\n# {} = {}\n", spec.help,
                            describe_type(spec), name_of(spec.scope), spec.key.substr(dot + 1),
                            spec.fallback);
    }
    return text;
}

}  // namespace thinvol
