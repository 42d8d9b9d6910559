#include "commands/metadata_target.h"
#include "commands/pool_repair.h"
#include "commands/progress.h"
#include "commands/table.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"input", 'i', Value::any_device, "Damaged metadata device; it is not changed."},
    target_option,
    {"whole", 0, Value::none,
     "Take the newest commit that is there in whole, not the newest without what is lost of it."},
    transaction_id_option,
    data_block_size_option,
    data_blocks_option,
};
constexpr OperandSpec operands[] = {inactive_pool_operand};
constexpr std::string_view examples[] = {"tvrepair vg0/pool0",
                                         "tvrepair -i damaged.img -o repaired.img"};

Result<std::string> repair_device(Invocation& call) {
    MetadataSource source = TRY(open_metadata_device(call.value("input"), MetadataAccess::read));
    source.watched = std::make_unique<WatchedQueue>(call, source.device(), source.device().size());
    const RepairPlan plan =
        TRY(plan_and_warn(call, source.name, source.device(), overrides_of(call)));
    MetadataSource target = TRY(open_metadata_target(call, call.value(target_option.name)));
    return build_repaired(target.name, source.device(), plan, target.device());
}

int run(Invocation& call) {
    const bool pool = !call.has(target_option.name);
    if (pool == call.has("input"))
        return call.usage("Please give the damaged device and one to write to: --input, --output.");
    const std::string written =
        TRY_OR_FAIL(call, pool ? repair_pool(call, call.operands().front()) : repair_device(call));
    call.say("{}", written);
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvrepair{.name = "tvrepair",
                               .summary = "Write what a damaged pool's metadata still hold anew.",
                               .options = options,
                               .operands = operands,
                               .examples = examples,
                               .instead_of_operands = target_option.name,
                               .run = run};
static_assert(well_formed(tvrepair));

}  // namespace thinvol
