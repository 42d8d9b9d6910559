#include "commands/metadata_target.h"
#include "commands/table.h"
#include "engine/metadata_builder.h"
#include "engine/repair.h"
#include "libvm/threaded_visitor.h"

namespace thinvol {
namespace {

constexpr OptionSpec options[] = {
    {"input", 'i', Value::any_device, "Damaged metadata device; it is not changed."},
    target_option,
    transaction_id_option,
    data_block_size_option,
    data_blocks_option,
};
constexpr std::string_view examples[] = {"tvrepair -i damaged.img -o repaired.img"};

int run(Invocation& call) {
    if (!call.has("input")) return call.usage("Please give the damaged device: --input.");
    if (!call.has("output")) return call.usage("Please give the device to write to: --output.");
    MetadataSource source =
        TRY_OR_FAIL(call, open_metadata_device(call.value("input"), MetadataAccess::read));
    const PoolOverrides known = overrides_of(call);
    const RepairPlan plan =
        TRY_OR_FAIL(call, within(source.name, plan_repair(source.device(), known)));
    for (const std::string& note : plan.notes) call.warn(fmt::format("{}: {}", source.name, note));
    MetadataSource target =
        TRY_OR_FAIL(call, open_metadata_target(call, call.value(target_option.name)));
    MetadataBuilder builder(target.device(), {.overrides = known, .count_mapped = true});
    // Two threads: one reads, the other builds and writes.
    ThreadedVisitor visitor(builder);
    TRY_OR_FAIL(call,
                within(target.name,
                       walk_contents(source.device(), plan.contents,
                                     {.subtrees = true, .judge = plan.survey.get()}, visitor)));
    call.say("{}: transaction id {}, {} volumes with {} mappings", target.name,
             plan.contents.pool.transaction_id.n, builder.volumes(), builder.mappings());
    return exit_ok;
}

}  // namespace

constexpr CommandSpec tvrepair{.name = "tvrepair",
                               .summary = "Write what a damaged pool's metadata still hold anew.",
                               .options = options,
                               .examples = examples,
                               .run = run};
static_assert(well_formed(tvrepair));

}  // namespace thinvol
