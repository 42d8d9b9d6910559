#include "commands/metadata_source.h"
#include "commands/table.h"
#include "libvm/metadata_pack.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    device_option,
    {"output", 'o', Value::file, "File to write; overwritten if it is there."},
};
constexpr OperandSpec operands[] = {pool_operand};
constexpr std::string_view examples[] = {"tvmetadatapack --device damaged.img -o damaged.pack"};

int run(Invocation& call) {
    if (!call.has("output")) return call.usage("Please give a file to write: --output.");
    MetadataSource source = TRY_OR_FAIL(call, open_metadata(call));
    const std::uint64_t packed = TRY_OR_FAIL(
        call, within(source.name, pack_metadata(source.device(), call.value("output"))));
    call.say("{}: {} metadata blocks packed", source.name, packed);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvmetadatapack{
    .name = "tvmetadatapack",
    .summary = "Pack a pool's metadata, damaged or not, into a small file.",
    .options = options,
    .operands = operands,
    .examples = examples,
    .instead_of_operands = device_option.name,
    .run = run};
static_assert(well_formed(tvmetadatapack));

}  // namespace thinvol
