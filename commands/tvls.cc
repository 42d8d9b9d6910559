#include <nlohmann/json.hpp>

#include <algorithm>

#include "commands/metadata_source.h"
#include "commands/table.h"
#include "commands/thin_fields.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    device_option,
    metadata_snapshot_option,
    {"format", 'o', Value::text,
     "Fields, as thin_ls has them: DEV, MAPPED, EXCLUSIVE, SHARED, HIGHEST_MAPPED; these in "
     "_BLOCKS, _SECTORS, _BYTES (HIGHEST_BLOCK ...); TRANSACTION, CREATE_TIME, SNAP_TIME."},
    {"no-headers", 0, Value::none, "Do not write the line of headings."},
    {"json", 0, Value::none, "Write JSON; sizes without a unit in their name are in bytes."},
};
constexpr OperandSpec operands[] = {pool_operand};
constexpr Conflict conflicts[] = {{"json", "no-headers"}};
constexpr std::string_view examples[] = {"tvls -o DEV,EXCLUSIVE_BYTES vg0/pool0"};
constexpr std::string_view default_fields = "DEV,MAPPED,EXCLUSIVE,SHARED,CREATE_TIME,SNAP_TIME";
constexpr std::string_view snapshot_fields = "DEV,MAPPED,CREATE_TIME,SNAP_TIME";

void write_json(Invocation& call, const ThinTable& table) {
    auto json = nlohmann::json::array();
    for (const auto& row : table.rows) {
        auto& object = json.emplace_back(nlohmann::json::object());
        for (std::size_t i = 0; i < row.size(); ++i) {
            std::string name(table.headings[i]);
            for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            object[name] = row[i].number ? nlohmann::json(*row[i].number) : nlohmann::json();
        }
    }
    call.write(json.dump(2) + "\n");
}

// Aligned to the right, each cell followed by a space, as thin_ls has it.
void write_text(Invocation& call, const ThinTable& table) {
    std::vector<std::size_t> widths;
    const bool headings = !call.has("no-headers");
    for (const std::string_view h : table.headings) widths.push_back(headings ? h.size() : 0);
    for (const auto& row : table.rows) {
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].text.size());
    }
    std::string text;
    const auto cell = [&](std::size_t i, std::string_view s) {
        text += fmt::format("{:>{}} ", s, widths[i]);
    };
    for (std::size_t i = 0; headings && i < widths.size(); ++i) cell(i, table.headings[i]);
    if (headings) text += '\n';
    for (const auto& row : table.rows) {
        for (std::size_t i = 0; i < row.size(); ++i) cell(i, row[i].text);
        text += '\n';
    }
    call.write(text);
}

int run(Invocation& call) {
    const bool snapshot = call.has(metadata_snapshot_option.name);
    const std::string fields = call.value_or("format", snapshot ? snapshot_fields : default_fields);
    MetadataSource source = TRY_OR_FAIL(call, open_volumes_metadata(call));
    const auto table = within(source.name, list_thins(source.device(), fields, snapshot));
    if (!table && table.error().code == Errc::invalid_argument)
        return call.usage(table.error().text);
    if (!table) return call.fail(table.error());
    if (call.has("json")) write_json(call, *table);
    else write_text(call, *table);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvls{.name = "tvls",
                           .summary = "List a pool's thin ids with what only they use.",
                           .options = options,
                           .operands = operands,
                           .conflicts = conflicts,
                           .examples = examples,
                           .instead_of_operands = device_option.name,
                           .run = run,
                           .test_mode = TestMode::harmless};
static_assert(well_formed(tvls));

}  // namespace thinvol
