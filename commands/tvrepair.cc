#include "commands/lookup.h"
#include "commands/metadata_target.h"
#include "commands/progress.h"
#include "commands/table.h"
#include "engine/metadata_builder.h"
#include "engine/repair.h"
#include "libvm/metadata_swap.h"
#include "libvm/threaded_visitor.h"

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

Result<RepairPlan> plan_and_warn(Invocation& call, const std::string& name, BlockQueue& device,
                                 const PoolOverrides& known) {
    const RepairAim aim = call.has("whole") ? RepairAim::whole : RepairAim::newest;
    auto plan = TRY(within(name, plan_repair(device, known, aim)));
    for (const std::string& note : plan.notes) call.warn(fmt::format("{}: {}", name, note));
    return plan;
}

// Two threads: one reads, the other builds and writes. Says what was written.
Result<std::string> build(const std::string& name, BlockQueue& source, const RepairPlan& plan,
                          BlockQueue& target) {
    MetadataBuilder builder(target, {.count_mapped = true});
    ThreadedVisitor visitor(builder);
    TRY(within(name, walk_contents(source, plan.contents,
                                   {.subtrees = true, .judge = plan.survey.get()}, visitor)));
    return fmt::format("{}: transaction id {}, {} volumes with {} mappings", name,
                       plan.contents.pool.transaction_id.n, builder.volumes(), builder.mappings());
}

Result<std::string> repair_device(Invocation& call) {
    MetadataSource source = TRY(open_metadata_device(call.value("input"), MetadataAccess::read));
    source.watched = std::make_unique<WatchedQueue>(call, source.device(), source.device().size());
    const RepairPlan plan =
        TRY(plan_and_warn(call, source.name, source.device(), overrides_of(call)));
    MetadataSource target = TRY(open_metadata_target(call, call.value(target_option.name)));
    return build(target.name, source.device(), plan, target.device());
}

// The old metadata stay as they are, and become the group's spare.
Result<std::string> repair_pool(Invocation& call) {
    Session session = TRY(call.session());
    const FoundPool found = TRY(find_pool(session, call.operands().front()));
    const std::string name = found.full_name();
    const auto swap = TRY(MetadataSwap::begin(session, found.group, found.pool));
    PoolOverrides known = overrides_of(call);
    const PoolOverrides catalog = swap->known();
    known.data_block_size = catalog.data_block_size;
    known.data_blocks = catalog.data_blocks;
    WatchedQueue old(call, swap->old(), swap->old().size());
    RepairPlan plan = TRY(plan_and_warn(call, name, old, known));
    if (!plan.superblock_used && !known.transaction_id)
        plan.contents.pool.transaction_id = *catalog.transaction_id;
    if (!call.confirm(fmt::format("Replace the metadata of {} by these?", name)))
        return Error(Errc::exists, fmt::format("{} is left as it was", name));
    auto written = TRY(build(name, old, plan, swap->fresh()));
    for (const std::string& warning : TRY(swap->commit())) call.warn(warning);
    return written + "; the old metadata are on the group's spare until it is used again";
}

int run(Invocation& call) {
    const bool pool = !call.has(target_option.name);
    if (pool == call.has("input"))
        return call.usage("Please give the damaged device and one to write to: --input, --output.");
    const std::string written = TRY_OR_FAIL(call, pool ? repair_pool(call) : repair_device(call));
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
