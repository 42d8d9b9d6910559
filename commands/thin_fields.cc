#include "commands/thin_fields.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <sstream>

#include "engine/exclusive.h"

namespace thinvol {
namespace {

// What is known of a volume; blocks are the pool's data blocks.
struct Row {
    ListedVolume volume;
    std::uint64_t exclusive = 0;
    std::optional<VirtualBlock> highest;
};
enum class Unit { none, blocks, sectors, bytes, human };

struct Field {
    std::string_view name;
    Unit unit;
    // Nothing: the volume has no such number.
    std::optional<std::uint64_t> (*number)(const Row& row);
    bool last = false;  // the number of a block, shown by the last sector or byte in it
};

std::optional<std::uint64_t> mapped(const Row& r) { return r.volume.details.mapped_blocks; }
std::optional<std::uint64_t> exclusive(const Row& r) { return r.exclusive; }
std::optional<std::uint64_t> shared(const Row& r) {
    const std::uint64_t all = r.volume.details.mapped_blocks;
    return all - std::min(all, r.exclusive);
}
std::optional<std::uint64_t> highest(const Row& r) {
    return r.highest ? std::optional(r.highest->n) : std::nullopt;
}

constexpr Field fields[] = {
    {"DEV", Unit::none, [](const Row& r) { return std::optional(std::uint64_t{r.volume.id.n()}); }},
    {"MAPPED", Unit::human, mapped},
    {"MAPPED_BLOCKS", Unit::blocks, mapped},
    {"MAPPED_SECTORS", Unit::sectors, mapped},
    {"MAPPED_BYTES", Unit::bytes, mapped},
    {"EXCLUSIVE", Unit::human, exclusive},
    {"EXCLUSIVE_BLOCKS", Unit::blocks, exclusive},
    {"EXCLUSIVE_SECTORS", Unit::sectors, exclusive},
    {"EXCLUSIVE_BYTES", Unit::bytes, exclusive},
    {"SHARED", Unit::human, shared},
    {"SHARED_BLOCKS", Unit::blocks, shared},
    {"SHARED_SECTORS", Unit::sectors, shared},
    {"SHARED_BYTES", Unit::bytes, shared},
    {"HIGHEST_MAPPED", Unit::human, highest, true},
    {"HIGHEST_BLOCK", Unit::blocks, highest, true},
    {"HIGHEST_SECTOR", Unit::sectors, highest, true},
    {"HIGHEST_BYTE", Unit::bytes, highest, true},
    {"TRANSACTION", Unit::none,
     [](const Row& r) { return std::optional(r.volume.details.created_in.n); }},
    {"CREATE_TIME", Unit::none,
     [](const Row& r) { return std::optional(std::uint64_t{r.volume.details.creation_time}); }},
    {"SNAP_TIME", Unit::none,
     [](const Row& r) { return std::optional(std::uint64_t{r.volume.details.snapshotted_time}); }},
};
Result<std::vector<const Field*>> fields_wanted(const std::string& list) {
    std::vector<const Field*> wanted;
    std::istringstream in(list);
    for (std::string name; std::getline(in, name, ',');) {
        for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        const auto* const it = std::find_if(std::begin(fields), std::end(fields),
                                            [&](const Field& f) { return f.name == name; });
        if (it == std::end(fields))
            return Error(Errc::invalid_argument, fmt::format("Unknown field \"{}\".", name));
        wanted.push_back(it);
    }
    return wanted;
}

// In the unit in which it has four digits at most, about, as thin_ls does.
std::string human(std::uint64_t bytes) {
    constexpr std::array units{"b", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto n = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; n >= 8193 && unit + 1 < units.size(); ++unit) n /= 1024;
    return fmt::format("{:.0f}{}", std::floor(n + 0.5), units[unit]);
}

std::optional<std::uint64_t> number(const Field& f, const Row& row, Sectors block_size) {
    const auto blocks = f.number(row);
    if (!blocks || f.unit == Unit::none || f.unit == Unit::blocks) return blocks;
    const std::uint64_t factor =
        block_size.n * (f.unit == Unit::sectors ? 1 : std::uint64_t{sector_bytes});
    return f.last ? (*blocks + 1) * factor - 1 : *blocks * factor;
}

std::string text(const Field& f, const Row& row, Sectors block_size) {
    const auto n = number(f, row, block_size);
    if (!n) return "-";
    return f.unit == Unit::human ? human(*n) : fmt::format("{}", *n);
}

Result<std::vector<Row>> gather(ExclusiveCounter& counter, const std::vector<const Field*>& wanted,
                                bool snapshot) {
    const auto any = [&](auto function) {
        return std::any_of(wanted.begin(), wanted.end(),
                           [&](const Field* f) { return f->number == function; });
    };
    const bool with_exclusive = any(exclusive) || any(shared);
    if (with_exclusive && snapshot)
        return Error(Errc::invalid_argument,
                     "EXCLUSIVE and SHARED need counts, which a metadata snapshot does not have.");
    std::vector<Row> rows;
    for (const auto& volume : counter.volumes()) {
        Row& row = rows.emplace_back(Row{volume, 0, {}});
        if (with_exclusive) row.exclusive = TRY(counter.freed_with({&volume.id, 1})).data.n;
        if (any(highest)) row.highest = TRY(counter.highest_mapped(volume));
    }
    return rows;
}

}  // namespace

Result<ThinTable> list_thins(BlockQueue& device, const std::string& field_list, bool snapshot) {
    const auto wanted = TRY(fields_wanted(field_list));
    const auto counter = TRY(ExclusiveCounter::open(device));
    const Sectors block_size = counter->superblock().data_block_size;
    ThinTable table;
    for (const Field* f : wanted) table.headings.push_back(f->name);
    for (const Row& row : TRY(gather(*counter, wanted, snapshot))) {
        auto& cells = table.rows.emplace_back();
        for (const Field* f : wanted)
            cells.push_back({number(*f, row, block_size), text(*f, row, block_size)});
    }
    return table;
}

}  // namespace thinvol
