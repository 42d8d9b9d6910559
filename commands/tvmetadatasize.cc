#include <nlohmann/json.hpp>

#include "commands/invocation.h"
#include "commands/table.h"
#include "engine/superblock.h"
#include "libvm/sizes.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"block-size", 'b', Value::chunk_size, "Size of the pool's data blocks."},
    {"pool-size", 's', Value::size, "Size of the pool's data device."},
    {"max-thins", 'm', Value::text, "How many volumes and snapshots there will be at most."},
    {"unit", 'u', Value::units, "Unit of the answer; sectors unless given."},
    {"numeric-only", 'n', Value::none, "Write the number only."},
    {"json", 0, Value::none, "Write JSON, in bytes."},
};
constexpr Conflict conflicts[] = {{"json", "unit"}, {"json", "numeric-only"}};
constexpr std::string_view examples[] = {"tvmetadatasize -b 64k -s 1t -m 1000"};

// Every mapping in a leaf that is half full, and a root of its own for each volume: what
// thin_metadata_size 1.x reckons with.
Result<MetadataBlocks> blocks_needed(Sectors block_size, Sectors pool_size, std::uint64_t thins) {
    TRY(check_data_block_size(block_size));
    if (pool_size < block_size)
        return Error(Errc::invalid_argument,
                     fmt::format("a pool of {} sectors has no room for a block of {}", pool_size,
                                 block_size));
    const std::uint64_t blocks = divide_up(pool_size.n, block_size.n);
    const std::uint64_t needed = 1 + divide_up(blocks, max_entries_for(8) / 2) + thins;
    return MetadataBlocks(std::min(needed, max_metadata_blocks.n));
}

int run(Invocation& call) {
    for (const char* wanted : {"block-size", "pool-size", "max-thins"}) {
        if (!call.has(wanted)) return call.usage(fmt::format("Please give --{}.", wanted));
    }
    const std::string& text = call.value("max-thins");
    const auto thins = parse_number(text);
    if (!thins || *thins > ThinId::max)
        return call.usage(fmt::format("\"{}\" is no number of volumes.", text));
    const auto block = TRY_OR_FAIL(call, parse_size(call.value("block-size"), 's'));
    const auto pool = TRY_OR_FAIL(call, parse_size(call.value("pool-size"), 's'));
    if (block.sign != Sign::none || pool.sign != Sign::none)
        return call.usage("A size has no sign here.");
    const auto needed = blocks_needed(to_sectors(block.size), to_sectors(pool.size), *thins);
    if (!needed) return call.usage(needed.error().text);
    const Bytes bytes(needed->n * metadata_block_bytes);
    if (call.has("json")) {
        call.write(nlohmann::json{{"metadata_bytes", bytes.n}}.dump() + "\n");
        return exit_ok;
    }
    const Units units = TRY_OR_FAIL(call, parse_units(call.value_or("unit", "s")));
    const std::string answer = format_size(bytes, units);
    call.write(call.has("numeric-only") ? answer.substr(0, answer.find_first_not_of("0123456789."))
                                        : answer);
    call.write("\n");
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvmetadatasize{
    .name = "tvmetadatasize",
    .summary = "Estimate how large a pool's metadata device has to be.",
    .options = options,
    .conflicts = conflicts,
    .examples = examples,
    .run = run,
    .test_mode = TestMode::harmless};
static_assert(well_formed(tvmetadatasize));

}  // namespace thinvol
