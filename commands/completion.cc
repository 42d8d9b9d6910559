#include "commands/completion.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "commands/invocation.h"
#include "commands/select.h"
#include "commands/table.h"
#include "commands/values.h"
#include "libvm/name_search.h"
#include "libvm/report.h"
#include "libvm/settings.h"

namespace thinvol {
namespace {

template <class T>
T or_none(Result<T>&& found) {
    return found ? std::move(*found) : T();
}

// What was typed before the word in question.
struct Typed {
    std::map<std::string_view, std::string> options;  // with their values
    std::vector<std::string> operands;
    const OptionSpec* wants_value = nullptr;

    std::string value(std::string_view option) const {
        const auto it = options.find(option);
        return it == options.end() ? "" : it->second;
    }
};

// What is asked for: of which command, with what before it.
struct Question {
    const CommandSpec& spec;
    const Typed& typed;
    const Environment& environment;
    std::string word;
};

// What the catalog has, asked as needed.
class Names {
public:
    explicit Names(const Environment& environment) {
        if (auto catalog = Catalog::open_existing(environment)) catalog_ = std::move(*catalog);
    }
    std::vector<GroupRow> groups() {
        return catalog_ ? or_none(catalog_->groups()) : std::vector<GroupRow>();
    }
    NamesFound volumes(const GroupRow& group, const std::string& beginning,
                       const NamesWanted& wanted) {
        return or_none(search_names(*catalog_, group.id, beginning, wanted));
    }
    std::vector<PoolRow> pools(const GroupRow& group) { return or_none(catalog_->pools(group.id)); }
    // Of the group named, or of all.
    std::vector<PvRow> physical_volumes(const std::string& group_name) {
        std::optional<std::int64_t> in;
        for (const GroupRow& group : groups()) {
            if (group.name == group_name) in = group.id;
        }
        return catalog_ ? or_none(catalog_->pvs(in)) : std::vector<PvRow>();
    }
    std::vector<std::string> tags(const std::string& beginning) {
        return catalog_ ? or_none(search_tags(*catalog_, beginning)) : std::vector<std::string>();
    }

private:
    std::optional<Catalog> catalog_;
};

void keep_matching(std::vector<Candidate>& candidates, std::string_view prefix) {
    std::erase_if(candidates, [&](const Candidate& c) { return !c.word.starts_with(prefix); });
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.word < b.word; });
}

// --- volumes -------------------------------------------------------------------------------------

// Only these look at, or take back, what is lent.
bool takes_lent(const CommandSpec& spec) {
    constexpr std::string_view commands[] = {"tvs", "tvchange", "tvdisplay", "tvdmtable", "tvscan"};
    return std::find(std::begin(commands), std::end(commands), spec.name) != std::end(commands);
}

// What the command would not refuse, as far as the options before say.
NamesWanted narrowed(Names& names, const Question& q, const GroupRow& group, NamesWanted wanted) {
    wanted.lent = takes_lent(q.spec);
    if (q.spec.name != "tvchange") return wanted;
    const std::string activate = q.typed.value("activate");
    if (activate.empty()) return wanted;
    wanted.pools = false;  // they are active with their volumes
    wanted.lent = false;
    wanted.skipped = activate == "n" || q.typed.options.contains("ignoreactivationskip");
    if (activate != "n") return wanted;
    wanted.pools_only = {0};  // none
    for (const PoolRow& pool : names.pools(group)) {
        std::error_code ignored;
        if (std::filesystem::exists(q.environment.control_socket(pool.lv.uuid), ignored))
            wanted.pools_only.push_back(pool.lv.id);
    }
    return wanted;
}

bool is_empty(const NamesFound& found) { return found.pools.empty() && found.thins.empty(); }

// In two steps: "vg0/", then what is in it.
Completion volumes(Names& names, const Question& q, const NamesWanted& wanted, bool groups_too) {
    Completion found;
    const std::size_t slash = q.word.find('/');
    found.more_follows = slash == std::string::npos;
    const std::string beginning = found.more_follows ? "" : q.word.substr(slash + 1);
    for (const GroupRow& group : names.groups()) {
        const std::string step = group.name + "/";
        if (found.more_follows ? !group.name.starts_with(q.word) : !q.word.starts_with(step))
            continue;
        const NamesFound in = names.volumes(group, beginning, narrowed(names, q, group, wanted));
        if (found.more_follows) {
            if (groups_too) found.candidates.push_back({group.name, "volume group"});
            if (!is_empty(in)) found.candidates.push_back({step, "volumes in it"});
            continue;
        }
        found.more_follows = in.beginnings;
        for (const auto& name : in.pools) found.candidates.push_back({step + name, "thin pool"});
        for (const auto& name : in.thins)
            found.candidates.push_back({step + name, in.beginnings ? "" : "thin volume"});
        break;
    }
    return found;
}

Completion tags(Names& names, const std::string& word, const std::string& sign) {
    Completion found;
    for (const std::string& tag : names.tags(word.substr(sign.size())))
        found.candidates.push_back({sign + tag, "tag"});
    return found;
}

// --- other values --------------------------------------------------------------------------------

// After the last comma of "+uri,thin_id", without what is there already.
Completion fields(ReportKind kind, const std::string& word) {
    const std::size_t comma = word.rfind(',');
    const std::size_t sign = !word.empty() && std::string_view("+-#").contains(word[0]) ? 1 : 0;
    const std::size_t start = comma == std::string::npos ? sign : comma + 1;
    const std::string before = "," + word.substr(sign, start - sign);
    Completion found;
    for (const Field* f : fields_of(kind)) {
        if (!before.contains(fmt::format(",{},", f->name)))
            found.candidates.push_back(
                {word.substr(0, start) + std::string(f->name), std::string(f->help)});
    }
    found.more_follows = start > 0;
    return found;
}

// A field's name, or behind "field=" its words.
Completion criteria(ReportKind kind, const std::string& word) {
    Completion found;
    found.more_follows = true;
    const std::size_t joint = word.find_last_of(" &|,#(!'\"");
    const std::size_t start = joint == std::string::npos ? 0 : joint + 1;
    const std::size_t equals = word.find_first_of("=<>~", start);
    if (equals == std::string::npos) {
        for (const Field* f : fields_of(kind)) {
            if ((f->needs & needs_selected) == 0)
                found.candidates.push_back(
                    {word.substr(0, start) + std::string(f->name), std::string(f->help)});
        }
        return found;
    }
    const auto field = find_field(kind, std::string_view(word).substr(start, equals - start));
    if (!field || word[equals] != '=') return found;
    for (const std::string_view value : (*field)->words) {
        if (!value.contains(' '))
            found.candidates.push_back({word.substr(0, equals + 1) + std::string(value), ""});
    }
    return found;
}

Completion with_endings(const std::string& word, std::initializer_list<const char*> endings) {
    Completion found;
    if (word.empty() || std::isdigit(static_cast<unsigned char>(word.back())) == 0) return found;
    for (const char* ending : endings) found.candidates.push_back({word + ending, ""});
    return found;
}

Completion files() {
    Completion found;
    found.files = true;
    return found;
}

Completion words(Value value) {
    Completion found;
    for (const std::string_view w : words_of(value))
        found.candidates.push_back({std::string(w), ""});
    return found;
}

Completion any_value(Names& names, const Question& q, Value value) {
    Completion found;
    switch (value) {
        case Value::group:
            for (const GroupRow& g : names.groups())
                found.candidates.push_back({g.name, "volume group"});
            return found;
        case Value::pool: return volumes(names, q, {.pools = true}, q.spec.name == "tvcreate");
        case Value::thin: return volumes(names, q, {.thins = true}, false);
        case Value::snapshot:
            return volumes(names, q, {.thins = true, .snapshots_only = true}, false);
        case Value::volume: return volumes(names, q, {.pools = true, .thins = true}, false);
        case Value::group_or_volume: return volumes(names, q, {.pools = true, .thins = true}, true);
        case Value::physical_volume: {
            const std::string first = q.typed.operands.empty() ? "" : q.typed.operands.front();
            for (const PvRow& pv : names.physical_volumes(first.substr(0, first.find('/'))))
                found.candidates.push_back({pv.path, "physical volume"});
            return found;
        }
        case Value::any_device:
        case Value::file: return files();
        case Value::fields:
        case Value::sort_fields: return fields(selects_from(q.spec), q.word);
        case Value::selection: return criteria(selects_from(q.spec), q.word);
        case Value::size:
        case Value::chunk_size: return with_endings(q.word, {"k", "m", "g", "t"});
        case Value::extents: return with_endings(q.word, {"%FREE", "%PVS", "%VG", "%LV"});
        case Value::setting:
        case Value::setting_key:
            for (const SettingSpec& s : all_settings())
                found.candidates.push_back(
                    {std::string(s.key) + (value == Value::setting ? "=" : ""), ""});
            found.more_follows = value == Value::setting;
            return found;
        case Value::tag: return tags(names, q.word, "");
        case Value::command:
            for (const CommandSpec* c : all_commands()) {
                if (!c->hidden)
                    found.candidates.push_back({std::string(c->name), std::string(c->summary)});
            }
            return found;
        default: return words(value);
    }
}

Completion complete_value(Names& names, const Question& q, Value value,
                          const OperandSpec* operand = nullptr) {
    const bool tagged = operand != nullptr && operand->name.contains("@Tag");
    Completion found =
        tagged && q.word.starts_with('@') ? tags(names, q.word, "@") : any_value(names, q, value);
    keep_matching(found.candidates, q.word);
    // "vg0" alone is a whole word.
    const bool one = found.candidates.size() == 1 && !found.candidates.front().word.ends_with('/');
    if (one && value == Value::group_or_volume) found.more_follows = false;
    if (operand != nullptr && operand->repeated) {
        const auto& given = q.typed.operands;
        std::erase_if(found.candidates, [&](const Candidate& c) {
            return c.word != q.word && std::find(given.begin(), given.end(), c.word) != given.end();
        });
    }
    return found;
}

// --- the command line ----------------------------------------------------------------------------

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
            typed.options[std::exchange(typed.wants_value, nullptr)->name] = words[i];
        } else if (words[i].starts_with('-') && words[i].size() > 1) {
            const OptionSpec* option = find_option(options, words[i]);
            if (option == nullptr) continue;
            const bool is_long = words[i].starts_with("--");
            const std::size_t equals = words[i].find('=');
            const bool joined = is_long ? equals != std::string::npos : words[i].size() > 2;
            if (option->value != Value::none && !joined) typed.wants_value = option;
            typed.options[option->name] =
                joined ? words[i].substr(is_long ? equals + 1 : 2) : std::string();
        } else {
            typed.operands.push_back(words[i]);
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
        found.candidates.push_back({"--" + std::string(o.name), std::string(o.help)});
        if (o.letter != 0 && word.size() < 2)
            found.candidates.push_back({std::string("-") + o.letter, std::string(o.help)});
    }
    keep_matching(found.candidates, word);
    return found;
}

Completion complete_word(Names& names, const Question& q, const std::vector<OptionSpec>& options) {
    const std::string& word = q.word;
    if (q.typed.wants_value != nullptr) return complete_value(names, q, q.typed.wants_value->value);
    if (word.starts_with('-')) {
        const std::size_t equals = word.find('=');
        const OptionSpec* option =
            equals == std::string::npos ? nullptr : find_option(options, word);
        if (option == nullptr) return complete_option(q.spec, options, q.typed, word);
        Question value{q.spec, q.typed, q.environment, word.substr(equals + 1)};
        Completion found = complete_value(names, value, option->value);
        for (Candidate& c : found.candidates) c.word.insert(0, word.substr(0, equals + 1));
        return found;
    }
    const auto operands = q.spec.operands;
    if (operands.empty() || q.typed.options.contains(q.spec.instead_of_operands)) return {};
    const std::size_t before = q.typed.operands.size();
    if (before >= operands.size() && !operands.back().repeated) return {};
    const OperandSpec& operand = operands[std::min(before, operands.size() - 1)];
    return complete_value(names, q, operand.value, &operand);
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
        if (at == 1)
            return complete_value(names, {help_command, {}, environment, words[1]}, Value::command);
        words.erase(words.begin());
        --at;
    }
    const CommandSpec* spec = find_command(words.front());
    if (spec == nullptr || at == 0) return {};
    std::vector<OptionSpec> options(spec->options.begin(), spec->options.end());
    options.insert(options.end(), common_options().begin(), common_options().end());
    const Typed typed = look_at(options, words, at);
    return complete_word(names, {*spec, typed, environment, words[at]}, options);
}

}  // namespace thinvol
