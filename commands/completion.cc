#include "commands/completion.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "commands/invocation.h"
#include "commands/table.h"
#include "commands/values.h"
#include "libvm/report.h"
#include "libvm/settings.h"

namespace thinvol {
namespace {

template <class T>
std::vector<T> or_none(Result<std::vector<T>>&& rows) {
    return rows ? std::move(*rows) : std::vector<T>();
}

// What the catalog has, asked as needed.
class Names {
public:
    explicit Names(const Environment& environment) {
        if (auto catalog = Catalog::open_existing(environment)) catalog_ = std::move(*catalog);
    }
    std::vector<std::string> groups() {
        std::vector<std::string> names;
        for (const GroupRow& group : all_groups()) names.push_back(group.name);
        return names;
    }
    // "vg/name" of each pool or thin volume of the group.
    std::vector<std::string> volumes(const std::string& group_name, bool pools, bool thins) {
        std::vector<std::string> names;
        for (const GroupRow& group : all_groups()) {
            if (group.name != group_name) continue;
            if (pools) {
                for (const PoolRow& p : or_none(catalog_->pools(group.id)))
                    names.push_back(group.name + "/" + p.lv.name);
            }
            if (thins) {
                for (const ThinRow& t : or_none(catalog_->thins(group.id)))
                    names.push_back(group.name + "/" + t.lv.name);
            }
        }
        return names;
    }
    std::vector<std::string> physical_volumes() {
        std::vector<std::string> names;
        if (catalog_) {
            for (const PvRow& pv : or_none(catalog_->pvs(std::nullopt))) names.push_back(pv.path);
        }
        return names;
    }

private:
    std::vector<GroupRow> all_groups() {
        return catalog_ ? or_none(catalog_->groups()) : std::vector<GroupRow>();
    }
    std::optional<Catalog> catalog_;
};

void keep_matching(std::vector<std::string>& candidates, std::string_view prefix) {
    std::erase_if(candidates, [&](const std::string& c) { return !c.starts_with(prefix); });
    std::sort(candidates.begin(), candidates.end());
}

// In two steps: "vg0/", then what is in it.
Completion volumes(Names& names, const std::string& word, bool pools, bool thins, bool groups_too) {
    Completion found;
    const std::size_t slash = word.find('/');
    if (slash != std::string::npos) {
        found.candidates = names.volumes(word.substr(0, slash), pools, thins);
    } else {
        for (const std::string& group : names.groups()) {
            if (groups_too) found.candidates.push_back(group);
            if (!names.volumes(group, pools, thins).empty())
                found.candidates.push_back(group + "/");
        }
        found.more_follows = true;
    }
    keep_matching(found.candidates, word);
    return found;
}

// After the last comma of "+uri,thin_id", without what is there already.
Completion fields(ReportKind kind, const std::string& word) {
    const std::size_t comma = word.rfind(',');
    const std::size_t sign = !word.empty() && (word[0] == '+' || word[0] == '-') ? 1 : 0;
    const std::size_t start = comma == std::string::npos ? sign : comma + 1;
    Completion found;
    for (const FieldInfo& f : fields_of(kind)) {
        const std::string before = word.substr(sign, start - sign);
        const bool there =
            ("," + before).find("," + std::string(f.name) + ",") != std::string::npos;
        if (!there) found.candidates.push_back(word.substr(0, start) + std::string(f.name));
    }
    found.more_follows = true;
    keep_matching(found.candidates, word);
    return found;
}

Completion with_endings(const std::string& word, std::initializer_list<const char*> endings) {
    Completion found;
    if (word.empty() || std::isdigit(static_cast<unsigned char>(word.back())) == 0) return found;
    for (const char* ending : endings) found.candidates.push_back(word + ending);
    return found;
}

ReportKind report_of(const CommandSpec& spec) {
    return spec.name == "tvgs"    ? ReportKind::groups
           : spec.name == "tvpvs" ? ReportKind::physical_volumes
                                  : ReportKind::volumes;
}

Completion complete_value(const CommandSpec& spec, Names& names, Value value,
                          const std::string& word) {
    Completion found;
    switch (value) {
        case Value::group: found.candidates = names.groups(); break;
        case Value::pool: return volumes(names, word, true, false, spec.name == "tvcreate");
        case Value::thin: return volumes(names, word, false, true, false);
        case Value::volume: return volumes(names, word, true, true, false);
        case Value::group_or_volume: return volumes(names, word, true, true, true);
        case Value::physical_volume: found.candidates = names.physical_volumes(); break;
        case Value::any_device:
        case Value::file: found.files = true; return found;
        case Value::fields:
        case Value::sort_fields: return fields(report_of(spec), word);
        case Value::size:
        case Value::chunk_size: return with_endings(word, {"k", "m", "g", "t"});
        case Value::extents: return with_endings(word, {"%FREE", "%PVS", "%VG"});
        case Value::setting:
        case Value::setting_key:
            for (const SettingSpec& s : all_settings())
                found.candidates.push_back(std::string(s.key) +
                                           (value == Value::setting ? "=" : ""));
            found.more_follows = value == Value::setting;
            break;
        case Value::command:
            for (const CommandSpec* c : all_commands()) {
                if (!c->hidden) found.candidates.emplace_back(c->name);
            }
            break;
        default:
            for (const std::string_view w : words_of(value)) found.candidates.emplace_back(w);
    }
    keep_matching(found.candidates, word);
    return found;
}

// What was typed before the word in question.
struct Typed {
    std::set<std::string_view> options;
    std::size_t operands = 0;
    const OptionSpec* wants_value = nullptr;
};

const OptionSpec* find_option(const std::vector<OptionSpec>& options, const std::string& word) {
    const std::string name =
        word.starts_with("--")
            ? word.substr(
                  2, word.find('=') == std::string::npos ? std::string::npos : word.find('=') - 2)
            : "";
    const auto it = std::find_if(options.begin(), options.end(), [&](const OptionSpec& o) {
        return name.empty() ? o.letter != 0 && word.size() > 1 && o.letter == word[1]
                            : o.name == name;
    });
    return it == options.end() ? nullptr : &*it;
}

Typed look_at(const std::vector<OptionSpec>& options, const std::vector<std::string>& words,
              std::size_t at) {
    Typed typed;
    for (std::size_t i = 1; i < at; ++i) {
        if (typed.wants_value != nullptr) {
            typed.wants_value = nullptr;
        } else if (words[i].starts_with('-') && words[i].size() > 1) {
            const OptionSpec* option = find_option(options, words[i]);
            if (option == nullptr) continue;
            typed.options.insert(option->name);
            const bool joined = words[i].starts_with("--") ? words[i].find('=') != std::string::npos
                                                           : words[i].size() > 2;
            if (option->value != Value::none && !joined) typed.wants_value = option;
        } else {
            ++typed.operands;
        }
    }
    return typed;
}

Completion complete_option(const CommandSpec& spec, const std::vector<OptionSpec>& options,
                           const Typed& typed, const std::string& word) {
    Completion found;
    for (const OptionSpec& o : options) {
        const bool excluded =
            std::any_of(spec.conflicts.begin(), spec.conflicts.end(), [&](const Conflict& c) {
                return (c.one == o.name && typed.options.contains(c.other)) ||
                       (c.other == o.name && typed.options.contains(c.one));
            });
        if (excluded || (typed.options.contains(o.name) && !o.repeatable) ||
            o.help.starts_with("Refused"))
            continue;
        found.candidates.push_back("--" + std::string(o.name));
        if (o.letter != 0 && word.size() < 2)
            found.candidates.push_back(std::string("-") + o.letter);
    }
    keep_matching(found.candidates, word);
    return found;
}

// bash takes "--name=value" apart: "--name", "=", "value".
void join_equals(std::vector<std::string>& words, std::size_t& at) {
    for (std::size_t i = 1; i + 1 <= at && i < words.size(); ++i) {
        if (words[i] != "=" || !words[i - 1].starts_with("--")) continue;
        words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
        --at;
        if (at < i) {  // the cursor is right behind the equals sign
            at = i;
            words.insert(words.begin() + static_cast<std::ptrdiff_t>(i), "");
        }
    }
}

}  // namespace

Completion complete(const Environment& environment, std::vector<std::string> words,
                    std::size_t at) {
    if (words.empty()) return {};
    words.resize(std::max(words.size(), at + 1));
    words.front() = std::filesystem::path(words.front()).filename().string();
    Names names(environment);
    if (words.front() == "thinvol") {
        if (at == 0) return {};
        if (at == 1) return complete_value(help_command, names, Value::command, words[1]);
        words.erase(words.begin());
        --at;
    }
    const CommandSpec* spec = find_command(words.front());
    if (spec == nullptr || at == 0) return {};
    join_equals(words, at);
    std::vector<OptionSpec> options(spec->options.begin(), spec->options.end());
    options.insert(options.end(), common_options().begin(), common_options().end());
    const Typed typed = look_at(options, words, at);
    const std::string& word = words[at];
    if (typed.wants_value != nullptr)
        return complete_value(*spec, names, typed.wants_value->value, word);
    if (word.starts_with('-')) {
        const std::size_t equals = word.find('=');
        const OptionSpec* option =
            equals == std::string::npos ? nullptr : find_option(options, word);
        if (option == nullptr) return complete_option(*spec, options, typed, word);
        Completion found = complete_value(*spec, names, option->value, word.substr(equals + 1));
        for (std::string& c : found.candidates) c.insert(0, word.substr(0, equals + 1));
        return found;
    }
    if (spec->operands.empty() || typed.options.contains(spec->instead_of_operands)) return {};
    const OperandSpec* operand = nullptr;
    if (typed.operands < spec->operands.size()) operand = &spec->operands[typed.operands];
    else if (spec->operands.back().repeated) operand = &spec->operands.back();
    return operand == nullptr ? Completion() : complete_value(*spec, names, operand->value, word);
}

}  // namespace thinvol
