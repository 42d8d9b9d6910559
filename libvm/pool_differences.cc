#include "libvm/pool_differences.h"

#include <fmt/format.h>

#include <algorithm>

#include "libvm/names.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

using Present = PoolContents::Volume;
using Adoption = PoolDecisions::Adoption;

const Adoption* adoption_of(const PoolDecisions& decisions, ThinId id) {
    const auto it = std::ranges::find(decisions.adopt, id, &Adoption::id);
    return it == decisions.adopt.end() ? nullptr : &*it;
}
bool removes(const PoolDecisions& decisions, ThinId id) {
    return std::ranges::count(decisions.remove, id) > 0;
}
Error wrong(const std::string& text) { return {Errc::invalid_argument, text}; }

}  // namespace

Result<PoolContents> contents_of(BlockQueue& device) {
    const auto metadata = TRY(ThinMetadata::open(device, {}));
    PoolContents found;
    found.transaction_id = metadata->superblock().transaction_id;
    found.data_block_size = metadata->superblock().data_block_size;
    found.data_blocks = metadata->data().size();
    found.metadata_blocks = metadata->metadata().size();
    found.needs_check = metadata->superblock().needs_check;
    for (const ThinId id : TRY(metadata->ids())) {
        const ThinDevice* volume = TRY(metadata->device(id));
        const auto highest = TRY(metadata->highest_mapped(*volume));
        found.volumes.push_back({id, volume->details, highest ? highest->n + 1 : 0});
    }
    return found;
}

Result<std::vector<std::string>> PoolDifferences::undecided(const PoolDecisions& decisions) {
    TRY(read_known());
    TRY(check(decisions));
    std::vector<std::string> open;
    for (const Present& v : found_.volumes) {
        if (knows(v.id) || adoption_of(decisions, v.id) != nullptr || removes(decisions, v.id))
            continue;
        open.push_back(
            fmt::format("thin id {} is new: {} chunks mapped, made in transaction {}; --adopt "
                        "{}=NAME makes it a volume, --delete-unknown {} removes it",
                        v.id, v.details.mapped_blocks, v.details.created_in, v.id, v.id));
    }
    for (const ThinRow& row : known_) {
        const bool decided = std::ranges::count(decisions.forget, row.lv.name) > 0;
        if (present(row.thin_id) == nullptr && !row.lv.pending && !decided)
            open.push_back(
                fmt::format("volume {}/{} (thin id {}) is gone: --forget {} removes it "
                            "from the catalog",
                            group_.name, row.lv.name, row.thin_id, row.lv.name));
    }
    if (found_.transaction_id != pool_.transaction_id && decisions.accept != found_.transaction_id)
        open.push_back(
            fmt::format("the pool's transaction id is {}, and was {} when the catalog knew it "
                        "last{}",
                        found_.transaction_id, pool_.transaction_id,
                        pool_.lent_to == LentTo::nobody
                            ? ""
                            : fmt::format("; --accept-transaction-id {} takes it over",
                                          found_.transaction_id)));
    return open;
}

Result<PoolDecisions> PoolDifferences::keeping_all(PoolDecisions decisions) {
    TRY(read_known());
    for (const Present& v : found_.volumes) {
        if (!knows(v.id) && adoption_of(decisions, v.id) == nullptr && !removes(decisions, v.id))
            decisions.adopt.push_back({v.id, "", std::nullopt});
    }
    decisions.accept = found_.transaction_id;
    return decisions;
}

Result<> PoolDifferences::settle(const PoolDecisions& decisions) {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    TRY(read_known());
    TRY(end_operation());
    std::uint32_t next = pool_.next_thin_id;
    RemoveVolumes removal;
    for (const Present& v : found_.volumes) {
        next = std::max(next, v.id.n() + 1);
        if (knows(v.id)) continue;
        const Adoption* adoption = adoption_of(decisions, v.id);
        const std::int64_t lv = TRY(add_volume(v, adoption));
        if (adoption == nullptr) removal.volumes.push_back({lv, v.id});
    }
    for (const ThinRow& row : known_) {
        if (present(row.thin_id) == nullptr) TRY(catalog.remove_lv(row.lv.id));
        else if (row.lv.pending) TRY(catalog.confirm_lv(row.lv.id));
    }
    TRY(catalog.set_next_thin_id(pool_.lv.id, next));
    TRY(catalog.set_transaction_id(pool_.lv.id, found_.transaction_id));
    TRY(catalog.set_lent_to(pool_.lv.id, LentTo::nobody));
    if (!removal.volumes.empty())
        TRY(catalog.set_pending({pool_.lv.id, new_uuid(), found_.transaction_id,
                                 found_.transaction_id.next(), to_json(removal),
                                 to_json(Result<PoolAnswer>(PoolAnswer{}))}));
    TRY(catalog.prune_log(group_.id));
    return std::move(transaction).commit();
}

// An operation that the pool is past, or never comes to: its rows stay as far as the pool has them.
Result<> PoolDifferences::end_operation() {
    Catalog& catalog = session_.catalog;
    const auto sectors_of = [&](SegmentRole role) -> Result<Sectors> {
        Sectors sum(0);
        for (const SegmentRow& s : TRY(catalog.segments_of(pool_.lv.id, role, false)))
            sum += group_.extent_size * s.length.n;
        return sum;
    };
    const auto fits = [&]() -> Result<bool> {
        return found_.data_blocks.n <= TRY(sectors_of(SegmentRole::data)).n / pool_.chunk_size.n &&
               found_.metadata_blocks <= to_metadata_blocks(TRY(sectors_of(SegmentRole::metadata)));
    };
    const auto corrupt = [&](std::string_view why) {
        return Error(Errc::corrupt, fmt::format("pool {}/{} {}: tvgcfgrestore --list {} shows what "
                                                "was saved",
                                                group_.name, pool_.lv.name, why, group_.name));
    };
    if (found_.data_block_size != pool_.chunk_size)
        return corrupt(fmt::format("has data blocks of {} sectors, the catalog knows {}",
                                   found_.data_block_size, pool_.chunk_size));
    if (!TRY(fits())) TRY(catalog.confirm_segments(pool_.lv.id));
    if (!TRY(fits()))
        return corrupt(
            fmt::format("has {} data blocks and {} metadata blocks, more than the "
                        "extents hold that the catalog knows",
                        found_.data_blocks, found_.metadata_blocks));
    TRY(catalog.remove_pending_segments(pool_.lv.id));
    return catalog.clear_pending(pool_.lv.id);
}

Result<> PoolDifferences::check(const PoolDecisions& decisions) const {
    for (const Adoption& adoption : decisions.adopt) {
        if (!adoption.name.empty()) TRY(check_volume_name(adoption.name));
        if (present(adoption.id) == nullptr || knows(adoption.id))
            return wrong(fmt::format("--adopt {}: no thin id {} is new in the pool", adoption.id,
                                     adoption.id));
        if (adoption_of(decisions, adoption.id) != &adoption)
            return wrong(fmt::format("--adopt: thin id {} is named twice", adoption.id));
        if (removes(decisions, adoption.id))
            return wrong(fmt::format("thin id {}: adopt or delete it, not both", adoption.id));
    }
    for (const ThinId id : decisions.remove) {
        if (present(id) == nullptr || knows(id))
            return wrong(
                fmt::format("--delete-unknown {}: no thin id {} is new in the pool", id, id));
    }
    for (const std::string& name : decisions.forget) {
        const auto row =
            std::ranges::find(known_, name, [](const ThinRow& r) { return r.lv.name; });
        if (row == known_.end() || present(row->thin_id) != nullptr)
            return wrong(
                fmt::format("--forget {}: no volume of that name is gone from the pool", name));
    }
    return {};
}

Result<std::int64_t> PoolDifferences::add_volume(const Present& v, const Adoption* adoption) {
    Catalog& catalog = session_.catalog;
    const bool named = adoption != nullptr && !adoption->name.empty();
    const std::string name = named ? adoption->name : TRY(catalog.automatic_name(group_.id));
    TRY(catalog.check_new_name(group_, name));
    const Bytes chunk = to_bytes(pool_.chunk_size);
    const Bytes mapped(std::max<std::uint64_t>(v.mapped_end, 1) * chunk.n);
    ThinRow row;
    row.lv.vg_id = group_.id;
    row.lv.uuid = new_uuid();
    row.lv.name = name;
    row.lv.created = session_.now();
    row.pool_id = pool_.lv.id;
    row.thin_id = v.id;
    row.size = TRY(volume_size(group_, pool_,
                               adoption != nullptr && adoption->size ? *adoption->size : mapped));
    if (row.size < mapped && v.mapped_end > 0)
        return wrong(fmt::format("--adopt {}={}: {} is smaller than what is mapped, {}", v.id, name,
                                 row.size, mapped));
    return catalog.add_thin(row);
}

Result<> PoolDifferences::read_known() {
    known_ = TRY(session_.catalog.thins_of_pool(pool_.lv.id, true));
    return {};
}

bool PoolDifferences::knows(ThinId id) const {
    return std::ranges::find(known_, id, &ThinRow::thin_id) != known_.end();
}

const Present* PoolDifferences::present(ThinId id) const {
    const auto it = std::ranges::find(found_.volumes, id, &Present::id);
    return it == found_.volumes.end() ? nullptr : &*it;
}

}  // namespace thinvol
