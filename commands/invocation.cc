#include "commands/invocation.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iostream>

#include <boost/program_options.hpp>

#include "commands/values.h"
#include "libvm/rehearsal.h"

namespace thinvol {
namespace {

namespace po = boost::program_options;

constexpr std::array common{
    OptionSpec{"help", 'h', Value::none, "Show this help."},
    OptionSpec{"longhelp", 0, Value::none, "Show this help with what there is to know besides."},
    OptionSpec{"version", 0, Value::none, "Show the version."},
    OptionSpec{"verbose", 'v', Value::none, "Say more.", true},
    OptionSpec{"quiet", 'q', Value::none, "Say less; twice: answer no to every question.", true},
    OptionSpec{"test", 't', Value::none, "Check everything, and change nothing."},
    OptionSpec{"yes", 'y', Value::none, "Answer yes to every question."},
    OptionSpec{"config", 0, Value::setting, "A setting for this command alone.", true},
};

std::vector<OptionSpec> all_options(const CommandSpec& spec) {
    std::vector<OptionSpec> all(spec.options.begin(), spec.options.end());
    all.insert(all.end(), common.begin(), common.end());
    return all;
}

// Hyphens inside a long option do not count: --read-only is --readonly.
std::string plain(std::string_view name) {
    std::string s;
    for (const char c : name) {
        if (c != '-') s += c;
    }
    return s;
}

// The option that a long word means: its name, or the only one that begins so.
Result<std::string> long_option(const std::vector<OptionSpec>& options, std::string_view word) {
    std::vector<std::string> possible;
    for (const OptionSpec& o : options) {
        if (plain(o.name) == plain(word)) return std::string(o.name);
        if (plain(o.name).starts_with(plain(word))) possible.emplace_back(o.name);
    }
    if (possible.size() == 1) return possible.front();
    if (possible.empty())
        return Error(Errc::invalid_argument, fmt::format("unrecognised option '--{}'", word));
    std::string list;
    for (const auto& p : possible) list += fmt::format(" '--{}'", p);
    return Error(Errc::invalid_argument,
                 fmt::format("option '--{}' is ambiguous; possibilities:{}", word, list));
}

// Whether the value of a short word's last letter, "-n" or "-yn", is the next word. The library is
// given letters that there are, and no others: its message of one repeats what was typed, and does
// not end where that is "-x%original_token%".
Result<bool> short_options(const std::vector<OptionSpec>& options, std::string_view word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
        const auto option = std::find_if(options.begin(), options.end(), [&](const OptionSpec& o) {
            return o.letter != 0 && o.letter == word[i];
        });
        if (option == options.end())
            return Error(Errc::invalid_argument,
                         fmt::format("unrecognised option '-{}'", word.substr(i, 1)));
        if (option->value != Value::none) return i + 1 == word.size();
    }
    return false;
}

bool negative_number(std::string_view word) {
    return word.size() > 1 && word[0] == '-' &&
           std::isdigit(static_cast<unsigned char>(word[1])) != 0;
}

// Spells what LVM's users may type in the one way that the library parses: full long names, and a
// negative value joined to its option.
Result<std::vector<std::string>> spelled_out(const std::vector<OptionSpec>& options,
                                             const std::vector<std::string>& words) {
    std::vector<std::string> out;
    bool value_follows = false;
    bool only_operands = false;
    for (const std::string& word : words) {
        if (std::exchange(value_follows, false)) {
            if (negative_number(word))
                out.back() += (out.back().starts_with("--") ? "=" : "") + word;
            else out.push_back(word);
            continue;
        }
        if (only_operands || !word.starts_with('-') || word == "-") {
            out.push_back(word);
            continue;
        }
        if (word == "--") {
            only_operands = true;
            out.push_back(word);
            continue;
        }
        if (!word.starts_with("--")) {
            value_follows = TRY(short_options(options, word));
            out.push_back(word);
            continue;
        }
        const std::size_t equals = word.find('=');
        const bool has_value = equals != std::string::npos;
        const std::string name = TRY(
            long_option(options, std::string_view(word).substr(2, equals - (has_value ? 2 : 0))));
        out.push_back("--" + name + (has_value ? word.substr(equals) : ""));
        const auto option = std::find_if(options.begin(), options.end(),
                                         [&](const OptionSpec& o) { return o.name == name; });
        value_follows = option->value != Value::none && !has_value;
    }
    return out;
}

po::options_description describe(const std::vector<OptionSpec>& options) {
    po::options_description description;
    for (const OptionSpec& o : options) {
        const std::string name =
            o.letter == 0 ? std::string(o.name) : fmt::format("{},{}", o.name, o.letter);
        if (o.value == Value::none) description.add_options()(name.c_str(), "");
        else
            description.add_options()(name.c_str(),
                                      po::value<std::vector<std::string>>()->composing(), "");
    }
    return description;
}

std::string shown(const OptionSpec& o) {
    return o.letter == 0 ? fmt::format("--{}", o.name) : fmt::format("-{}/--{}", o.letter, o.name);
}

// What a file or a peer wrote may be part of a message, which no terminal is to obey: control
// characters and what is no UTF-8 are escaped.
std::string harmless(std::string_view text) {
    const auto is_plain = [](char c) { return (c >= ' ' && c <= '~') || c == '\n'; };
    if (std::all_of(text.begin(), text.end(), is_plain)) return std::string(text);
    const std::string quoted = fmt::format("{:?}", text);
    return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

std::span<const OptionSpec> common_options() { return common; }

Result<> Invocation::parse(const std::vector<std::string>& words) {
    const auto options = all_options(spec_);
    const auto spelled = TRY(spelled_out(options, words));
    try {
        namespace style = po::command_line_style;
        const auto description = describe(options);
        const auto parsed =
            po::command_line_parser(spelled)
                .options(description)
                .style(style::allow_long | style::allow_short | style::allow_dash_for_short |
                       style::long_allow_adjacent | style::long_allow_next |
                       style::short_allow_adjacent | style::short_allow_next | style::allow_sticky)
                .run();
        for (const auto& option : parsed.options) {
            if (option.position_key >= 0) {
                operands_.insert(operands_.end(), option.value.begin(), option.value.end());
                continue;
            }
            auto& values = options_[option.string_key];
            values.insert(values.end(), option.value.begin(), option.value.end());
            if (option.value.empty()) values.emplace_back();
        }
    } catch (const po::error& e) {
        return Error(Errc::invalid_argument, e.what());
    }
    environment_.config_options = values("config");
    if (has("help") || has("longhelp") || has("version")) return {};
    return check(words);
}

Result<> Invocation::check(const std::vector<std::string>&) const {
    for (const OptionSpec& o : all_options(spec_)) {
        if (!has(o.name)) continue;
        const auto given = values(o.name);
        if (!o.repeatable && given.size() > 1)
            return Error(Errc::invalid_argument,
                         fmt::format("Option {} may not be repeated.", shown(o)));
        for (const auto& v : given) {
            if (o.value == Value::none) continue;
            if (auto checked = check_value(o.value, v); !checked) {
                return Error(Errc::invalid_argument,
                             fmt::format("Invalid argument for --{}: {}: {}", o.name, v,
                                         checked.error().text));
            }
        }
    }
    if (has("test") && spec_.test_mode == TestMode::refused)
        return Error(Errc::invalid_argument,
                     fmt::format("{} cannot be tried with --test.", spec_.name));
    for (const Conflict& c : spec_.conflicts) {
        if (has(c.one) && has(c.other))
            return Error(Errc::invalid_argument,
                         fmt::format("--{} and --{} exclude each other.", c.one, c.other));
    }
    for (std::size_t i = 0; i < std::min(operands_.size(), spec_.operands.size()); ++i) {
        const OperandSpec& o = spec_.operands[i];
        if (auto checked = check_value(o.value, operands_[i]); !checked) {
            return Error(Errc::invalid_argument,
                         fmt::format("{}: {}", operands_[i], checked.error().text));
        }
    }
    if (const auto option = spec_.instead_of_operands; !option.empty() && has(option)) {
        if (operands_.empty()) return {};
        return Error(Errc::invalid_argument, fmt::format("Please give \"{}\" or --{}, not both.",
                                                         operands_.front(), option));
    }
    std::size_t least = 0;
    bool any_number = false;
    for (const OperandSpec& o : spec_.operands) {
        least += o.required ? 1 : 0;
        any_number = any_number || o.repeated;
    }
    if (has("select")) least = 0;  // -S means objects by itself
    if (operands_.size() < least) {
        const std::string_view option = spec_.instead_of_operands;
        return Error(Errc::invalid_argument,
                     fmt::format("Please give {}{}{}: {}", spec_.operands[operands_.size()].name,
                                 option.empty() ? "" : " or --", option,
                                 spec_.operands[operands_.size()].help));
    }
    if (!any_number && operands_.size() > spec_.operands.size()) {
        return Error(Errc::invalid_argument,
                     fmt::format("Unexpected operand \"{}\".", operands_[spec_.operands.size()]));
    }
    return {};
}

void Invocation::write(std::string_view text) {
    out_ << text;
    out_.flush();
}

void Invocation::warn(std::string_view text) { err_ << "  WARNING: " << harmless(text) << '\n'; }

int Invocation::fail(const Error& error) {
    err_ << "  " << spec_.name << ": " << harmless(error.text) << '\n';
    return exit_failed;
}

int Invocation::usage(std::string_view text) {
    err_ << "  " << spec_.name << ": " << harmless(text) << '\n'
         << "  Run `" << spec_.name << " --help' for more information.\n";
    return exit_usage;
}

Result<Session> Invocation::session() const {
    if (!has("test") || spec_.test_mode != TestMode::rehearsed) return Session::open(environment_);
    err_ << "  TEST MODE: Metadata will NOT be updated and volumes will not be (de)activated.\n";
    return open_rehearsal(environment_);
}

bool Invocation::confirm(const std::string& question) {
    if (has("yes")) return true;
    if (values("quiet").size() > 1) return false;
    for (int attempt = 0; attempt < 3; ++attempt) {
        err_ << "  " << harmless(question) << " [y/n]: " << std::flush;
        std::string answer;
        if (!std::getline(in_, answer)) {
            err_ << "[n]\n";
            return false;
        }
        for (char& c : answer) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        if (answer == "y" || answer == "yes") return true;
        if (answer == "n" || answer == "no") return false;
    }
    return false;
}

}  // namespace thinvol
