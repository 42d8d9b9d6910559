// command_spec: how a command is declared; parsing, help and completion are made from it.
//
// Units       none
// Invariants  well_formed(): names and letters unique, required operands before optional ones, one
//             repeated at most
// Errors      none; declarations are constants
// Threads     any
// Source      LVM2's tools/command-lines.in (the idea)
#pragma once

#include <span>
#include <string_view>

namespace thinvol {

// What an option's or operand's text means: how it is checked, how it is called in help, what
// completes it.
enum class Value {
    none,  // a switch
    text,
    number,
    size,
    extents,
    chunk_size,
    units,
    separator,
    fields,
    sort_fields,
    selection,
    file,
    name,  // of something new
    name_pattern,
    tag,
    group,
    pool,
    thin,
    snapshot,
    volume,  // a pool or a thin volume
    group_or_volume,
    physical_volume,
    any_device,
    yes_no,
    permission,
    activation,
    export_kinds,
    discards,
    report_format,
    dump_format,
    image_format,
    pool_feature,
    pool_action,
    seconds,
    device_map,
    lend_target,
    allocation,
    setting,  // KEY=VALUE
    setting_key,
    command,
};

struct OptionSpec {
    std::string_view name;  // without hyphens in front
    char letter = 0;
    Value value = Value::none;
    std::string_view help;
    bool repeatable = false;
};

struct OperandSpec {
    std::string_view name;  // as help shows it
    Value value;
    std::string_view help;
    bool required = true;
    bool repeated = false;
};

struct Conflict {
    std::string_view one;
    std::string_view other;
};

// What --test does: the command changes nothing anyway, all is done to a copy (rehearsal.h), or it
// is refused.
enum class TestMode { refused, harmless, rehearsed };

class Invocation;

struct CommandSpec {
    std::string_view name;
    std::string_view summary;
    std::span<const OptionSpec> options{};
    std::span<const OperandSpec> operands{};
    std::span<const Conflict> conflicts{};
    std::span<const std::string_view> examples{};
    std::string_view instead_of_operands{};  // an option: given it or the operands, never both
    int (*run)(Invocation& invocation);
    TestMode test_mode = TestMode::refused;
    bool hidden = false;
};

constexpr bool well_formed(const CommandSpec& spec) {
    if (spec.name.empty() || spec.summary.empty() || spec.run == nullptr ||
        !spec.summary.ends_with('.'))
        return false;
    const auto has = [&](std::string_view name) {
        for (const OptionSpec& o : spec.options) {
            if (o.name == name) return true;
        }
        return false;
    };
    for (std::size_t i = 0; i < spec.options.size(); ++i) {
        if (spec.options[i].name.empty() || !spec.options[i].help.ends_with('.')) return false;
        for (std::size_t j = 0; j < i; ++j) {
            const bool same_letter =
                spec.options[i].letter != 0 && spec.options[i].letter == spec.options[j].letter;
            if (spec.options[i].name == spec.options[j].name || same_letter) return false;
        }
    }
    bool optional = false;
    for (std::size_t i = 0; i < spec.operands.size(); ++i) {
        const bool last = i + 1 == spec.operands.size();
        if ((optional && spec.operands[i].required) || (spec.operands[i].repeated && !last))
            return false;
        optional = optional || !spec.operands[i].required;
    }
    for (const Conflict& c : spec.conflicts) {
        if (!has(c.one) || !has(c.other)) return false;
    }
    return spec.instead_of_operands.empty() || has(spec.instead_of_operands);
}

}  // namespace thinvol
