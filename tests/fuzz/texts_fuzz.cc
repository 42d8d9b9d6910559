// Goal: S43: what a user may type, in a command, a file or a setting, is taken as it is meant or
//       refused with a reason: names, references, tags, sizes, times, selections, settings, rules
//       of access, thinvol.toml.
// Method: by the input's first byte, its rest is one of those; what is accepted keeps its promises.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"
#include "libvm/config_file.h"
#include "libvm/names.h"
#include "libvm/nbd_access.h"
#include "libvm/selection.h"
#include "libvm/sizes.h"
#include "libvm/tags.h"
#include "libvm/times.h"
#include "libvm/uri.h"
#include "libvm/uuid.h"
#include "tests/fuzz/fuzz_input.h"

namespace thinvol {
namespace {

constexpr std::int64_t now = 1'780'000'000;

bool plain(std::string_view name) {
    constexpr std::string_view letters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-";
    return !name.empty() && name.size() <= longest_name && name != "." && name != ".." &&
           name.front() != '-' && name.find_first_not_of(letters) == name.npos;
}

void name(std::string_view text) {
    demand(!check_group_name(text) || plain(text), "a group's name that is more than a name");
    demand(!check_volume_name(text) || plain(text), "a volume's name that is more than a name");
    if (const auto reference = parse_reference(text)) {
        demand(plain(reference->group), "a reference to a group that can have no such name");
        if (!reference->volume.empty()) {
            demand(plain(reference->volume), "a reference to a volume that can have no such name");
            const std::string mapper =
                "/dev/mapper/" + mapper_name(reference->group, reference->volume);
            const Reference again = must(parse_reference(mapper));
            demand(again.group == reference->group && again.volume == reference->volume,
                   "a name below /dev/mapper that means another");
        }
    }
    nbd_uri(text, "/run/x");
    if (const auto bytes = uuid_bytes(text))
        demand(uuid_bytes(uuid_text(*bytes)) == *bytes, "uuid");
}

void size(std::string_view text) {
    if (const auto parsed = parse_size(text, 'm'))
        demand(parsed->size.n % 512 == 0, "a size that is no number of sectors");
    ignore(parse_extents(text), "any text");
    if (const auto units = parse_units(text)) format_size(Bytes(123456789012), *units);
    format_size_long(Bytes(text.size() << 50));
}

void point_in_time(std::string_view text) {
    const auto range = parse_time(text, now);
    if (!range) return;
    demand(range->first <= range->last, "a time that ends before it begins");
    format_time(range->first);
}

// A cell of the field's kind, as the report would have it.
Cell cell_of(FieldKind kind) {
    switch (kind) {
        case FieldKind::text: return std::string("db-root");
        case FieldKind::number: return std::int64_t{7};
        case FieldKind::size: return Bytes(3 << 20);
        case FieldKind::percent: return Percent{1, 3};
        case FieldKind::list: return std::vector<std::string>{"a", "night/ly"};
        case FieldKind::flag: return Flag{true, "skip activation"};
        case FieldKind::time: return Time{now - 1000};
    }
    return {};
}

void selection(std::string_view text, ReportKind kind) {
    const auto parsed = Selection::parse(text, kind, now);
    if (!parsed) return;
    std::vector<Cell> cells;
    for (const Field* f : parsed->fields()) cells.push_back(cell_of(f->kind));
    parsed->matches(cells);
    parsed->matches(std::vector<Cell>(cells.size()));
}

void setting(std::string_view text) {
    const auto parsed = parse_assignment(text);
    if (!parsed) return;
    const std::string written = to_toml(*parsed->spec, parsed->value);
    demand(must(parse_setting(*parsed->spec, written)) == parsed->value,
           "a setting that changes when it is written");
}

void file(std::string_view text) {
    const UniqueFd fd(::memfd_create("fuzz", MFD_CLOEXEC));
    demand(::fchmod(fd.get(), 0600) == 0, "a file of our own");
    demand(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()), "");
    const auto read = read_config_file("/proc/self/fd/" + std::to_string(fd.get()));
    if (!read) return;
    for (const Assignment& a : read->settings)
        demand(must(check_setting(*a.spec, a.value)) == a.value, "a setting that was not checked");
}

void access(std::string_view text) {
    const auto rules = NbdAccess::parse(text);
    if (!rules) return;
    const bool none = text.find_first_not_of(" \t\n\v\f\r") == text.npos;
    const NbdRight right = rules->right_of({std::nullopt, {}, "", ""});
    demand(!none || right == NbdRight::write, "without rules all may");
    demand(none || right == NbdRight::none || text.find("all=") != text.npos,
           "a right that no rule gives");
}

}  // namespace
}  // namespace thinvol

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
    using namespace thinvol;
    FuzzInput input(data, n);
    const std::uint8_t what = input.byte();
    const std::string_view text = input.rest();
    switch (what % 8) {
        case 0: name(text); break;
        case 1: size(text); break;
        case 2: point_in_time(text); break;
        case 3: selection(text, static_cast<ReportKind>(what / 8 % 3)); break;
        case 4: setting(text); break;
        case 5: file(text); break;
        case 6: access(text); break;
        default:
            if (const auto tag = parse_tag(text))
                demand(!tag->empty() && tag->front() != '-' && tag->find('\n') == tag->npos, "tag");
    }
    return 0;
}
