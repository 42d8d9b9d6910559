#include <nlohmann/json.hpp>

#include <charconv>

#include "commands/metadata_source.h"
#include "commands/table.h"
#include "engine/reverse_map.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    device_option,
    {"region", 0, Value::text, "Data blocks, as BEGIN..END; END is not among them.", true},
    {"json", 0, Value::none, "Write JSON."},
};
constexpr OperandSpec operands[] = {pool_operand};
constexpr std::string_view examples[] = {"tvrmap --region 0..100 vg0/pool0"};

Result<DataRegion> parse_region(std::string_view text) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    const char* const stop = text.data() + text.size();
    const auto first = std::from_chars(text.data(), text.data() + text.size(), begin);
    const bool dots =
        first.ec == std::errc() && stop - first.ptr > 2 && std::string_view(first.ptr, 2) == "..";
    const auto second = dots ? std::from_chars(first.ptr + 2, stop, end) : first;
    if (!dots || second.ec != std::errc() || second.ptr != stop || begin >= end)
        return Error(Errc::invalid_argument,
                     fmt::format("\"{}\" is no region; one looks like 0..100", text));
    return DataRegion{DataBlock(begin), DataBlock(end)};
}

int run(Invocation& call) {
    std::vector<DataRegion> regions;
    for (const std::string& text : call.values("region")) {
        auto region = parse_region(text);
        if (!region) return call.usage(region.error().text);
        regions.push_back(*region);
    }
    if (regions.empty()) return call.usage("Please give --region.");
    MetadataSource source = TRY_OR_FAIL(call, open_metadata(call));
    const auto runs = TRY_OR_FAIL(call, within(source.name, reverse_map(source.device(), regions)));
    auto json = nlohmann::json::array();
    std::string text;
    for (const ReverseRun& r : runs) {
        if (call.has("json"))
            json.push_back({{"data_begin", r.data.n},
                            {"thin_id", r.thin.n()},
                            {"begin", r.at.n},
                            {"length", r.length}});
        else
            text += fmt::format("data {}..{} -> thin({}) {}..{}\n", r.data, r.data.n + r.length,
                                r.thin, r.at, r.at.n + r.length);
    }
    call.write(call.has("json") ? json.dump(2) + "\n" : text);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvrmap{.name = "tvrmap",
                             .summary = "Show which volumes map data blocks of a pool.",
                             .options = options,
                             .operands = operands,
                             .examples = examples,
                             .instead_of_operands = device_option.name,
                             .run = run,
                             .test_mode = TestMode::harmless};
static_assert(well_formed(tvrmap));

}  // namespace thinvol
