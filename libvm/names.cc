#include "libvm/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace thinvol {
namespace {

constexpr std::array<std::string_view, 2> reserved_prefixes{"snapshot", "pvmove"};
constexpr std::array<std::string_view, 17> reserved_parts{
    "_cdata",   "_cmeta",  "_corig", "_cpool", "_cvol",  "_imeta", "_iorig",   "_mimage", "_mlog",
    "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig"};

bool allowed(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '_' || c == '.' || c == '-';
}

Error invalid(std::string_view what, std::string_view name, std::string_view why) {
    return {Errc::invalid_argument, fmt::format("{} name \"{}\" is invalid: {}", what, name, why)};
}

Result<> check_characters(std::string_view what, std::string_view name) {
    if (name.empty()) return invalid(what, name, "it is empty");
    if (name.size() > longest_name)
        return invalid(what, name, fmt::format("it is longer than {} characters", longest_name));
    if (name == "." || name == "..") return invalid(what, name, "it is a directory's");
    if (name.front() == '-') return invalid(what, name, "it begins with a hyphen");
    if (!std::all_of(name.begin(), name.end(), allowed))
        return invalid(what, name, "valid characters are [a-zA-Z0-9.-_+]");
    return {};
}

// In /dev/mapper a hyphen of a name is doubled, a single one separates group and volume.
Result<Reference> parse_mapper_name(std::string_view text) {
    Reference reference;
    const Error none(Errc::invalid_argument,
                     fmt::format("\"/dev/mapper/{}\" names no volume", text));
    std::string* into = &reference.group;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '-') *into += text[i];
        else if (i + 1 < text.size() && text[i + 1] == '-') *into += text[i++];
        else if (into == &reference.group) into = &reference.volume;
        else return none;
    }
    if (into == &reference.volume && reference.volume.empty()) return none;
    return reference;
}

}  // namespace

Result<> check_group_name(std::string_view name) { return check_characters("Volume group", name); }

Result<> check_volume_name(std::string_view name) {
    TRY(check_characters("Logical volume", name));
    for (std::string_view prefix : reserved_prefixes) {
        if (name.starts_with(prefix)) {
            return invalid(
                "Logical volume", name,
                fmt::format(
                    "names starting \"{}\" are reserved. Please choose a different LV name.",
                    prefix));
        }
    }
    for (std::string_view part : reserved_parts) {
        if (name.find(part) != std::string_view::npos) {
            return invalid(
                "Logical volume", name,
                fmt::format(
                    "names including \"{}\" are reserved. Please choose a different LV name.",
                    part));
        }
    }
    return {};
}

std::string mapper_name(std::string_view group, std::string_view volume) {
    std::string name;
    const auto append = [&](std::string_view part) {
        for (const char c : part) name.append(c == '-' ? 2 : 1, c);
    };
    append(group);
    name += '-';
    append(volume);
    return name;
}

Result<Reference> parse_reference(std::string_view text) {
    constexpr std::string_view mapper = "/dev/mapper/";
    constexpr std::string_view dev = "/dev/";
    Reference reference;
    if (text.starts_with(mapper)) {
        reference = TRY(parse_mapper_name(text.substr(mapper.size())));
    } else {
        if (text.starts_with(dev)) text.remove_prefix(dev.size());
        const std::size_t slash = text.find('/');
        reference.group = text.substr(0, slash);
        if (slash != std::string_view::npos) {
            reference.volume = text.substr(slash + 1);
            if (reference.volume.empty())
                return Error(Errc::invalid_argument,
                             fmt::format("\"{}\": no volume is named behind the slash", text));
        }
    }
    TRY(check_group_name(reference.group));
    if (!reference.volume.empty()) TRY(check_characters("Logical volume", reference.volume));
    return reference;
}

Result<Reference> parse_volume_reference(std::string_view text) {
    Reference reference = TRY(parse_reference(text));
    if (reference.volume.empty())
        return Error(Errc::invalid_argument, fmt::format("\"{}\" is not of the form VG/LV", text));
    return reference;
}

}  // namespace thinvol
