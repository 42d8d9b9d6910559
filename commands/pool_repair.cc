#include "commands/pool_repair.h"

#include <algorithm>

#include "commands/lookup.h"
#include "commands/metadata_target.h"
#include "commands/progress.h"
#include "engine/metadata_builder.h"
#include "libvm/kept_metadata.h"
#include "libvm/metadata_swap.h"
#include "libvm/names.h"
#include "libvm/threaded_visitor.h"

namespace thinvol {

Result<RepairPlan> plan_and_warn(Invocation& call, const std::string& name, BlockQueue& device,
                                 const PoolOverrides& known, RepairWish wish) {
    if (call.has("whole")) wish.aim = RepairAim::whole;
    auto plan = TRY(within(name, plan_repair(device, known, wish)));
    for (const std::string& note : plan.notes) call.warn(fmt::format("{}: {}", name, note));
    return plan;
}

// Two threads: one reads, the other builds and writes. Says what was written.
Result<std::string> build_repaired(const std::string& name, BlockQueue& source,
                                   const RepairPlan& plan, BlockQueue& target) {
    MetadataBuilder builder(target, {.count_mapped = true});
    ThreadedVisitor visitor(builder);
    TRY(within(name, walk_contents(source, plan.contents,
                                   {.subtrees = true, .judge = plan.survey.get()}, visitor)));
    return fmt::format("{}: transaction id {}, {} volumes with {} mappings", name,
                       plan.contents.pool.transaction_id.n, builder.volumes(), builder.mappings());
}

// The old metadata stay as they are, as a volume of their own.
Result<std::string> repair_pool(Invocation& call, const std::string& operand) {
    Session session = TRY(call.session());
    const FoundPool found = TRY(find_pool(session, operand));
    const std::string name = found.full_name();
    const auto swap = TRY(MetadataSwap::begin(
        session, found.group, found.pool, MetadataSwap::Spare::cleared, MetadataSwap::Old::kept));
    PoolOverrides known = overrides_of(call);
    const PoolOverrides catalog = swap->known();
    known.data_block_size = catalog.data_block_size;
    known.data_blocks = catalog.data_blocks;
    WatchedQueue old(call, swap->old(), swap->old().size());
    RepairWish wish;
    wish.thin_ids.emplace();
    for (const ThinRow& v : TRY(session.catalog.thins_of_pool(found.pool.lv.id)))
        wish.thin_ids->push_back(v.thin_id.n());
    std::sort(wish.thin_ids->begin(), wish.thin_ids->end());
    RepairPlan plan = TRY(plan_and_warn(call, name, old, known, std::move(wish)));
    if (!plan.superblock_used && !known.transaction_id)
        plan.contents.pool.transaction_id = *catalog.transaction_id;
    if (!call.confirm(fmt::format("Replace the metadata of {} by these?", name)))
        return Error(Errc::exists, fmt::format("{} is left as it was", name));
    auto written = TRY(build_repaired(name, old, plan, swap->fresh()));
    for (const std::string& warning : TRY(swap->commit())) call.warn(warning);
    return fmt::format("{}; the old metadata are {}/{}", written, found.group.name,
                       swap->old_name());
}

Result<> swap_metadata(Invocation& call, const std::string& operand) {
    Session session = TRY(call.session());
    const FoundPool found = TRY(find_pool(session, operand));
    const auto swap =
        TRY(MetadataSwap::begin(session, found.group, found.pool, MetadataSwap::Spare::as_it_is));
    const std::string other = found.group.name + "/" + swap->old_name();
    if (!call.confirm(
            fmt::format("Exchange the metadata of {} with those on {}?", found.full_name(), other)))
        return Error(Errc::exists, fmt::format("{} is left as it was", found.full_name()));
    for (const std::string& warning : TRY(swap->commit())) call.warn(warning);
    call.say("{} has the metadata that were on {}, which has its own now.", found.full_name(),
             other);
    return {};
}

Result<bool> remove_if_kept(Invocation& call, Session& session, const std::string& operand) {
    const auto reference = parse_volume_reference(operand);
    if (!reference) return false;
    const auto group = session.catalog.find_group(reference->group);
    if (!group) return false;
    for (const LvRow& kept : TRY(kept_metadata(session.catalog, group->id))) {
        if (kept.name != reference->volume) continue;
        if (!call.has("force") &&
            !call.confirm(fmt::format("Remove the metadata {} that a repair kept?", operand)))
            return Error(Errc::busy, fmt::format("Logical volume {} not removed.", operand));
        TRY(remove_kept_metadata(session, *group, kept));
        call.say("Logical volume \"{}\" successfully removed.", kept.name);
        return true;
    }
    return false;
}

}  // namespace thinvol
