#include "libvm/pool_lending.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/thin_metadata.h"
#include "libvm/group_log.h"
#include "libvm/names.h"
#include "libvm/volumes.h"

namespace thinvol {
namespace {

// A volume as the pool's metadata have it.
struct Present {
    ThinId id;
    VolumeDetails details;
    std::uint64_t mapped_end = 0;  // virtual blocks
};
struct Found {
    TransactionId transaction_id{};
    bool needs_check = false;
    std::vector<Present> volumes;
};

Result<Found> look_at(BlockQueue& device) {
    const auto metadata = TRY(ThinMetadata::open(device, {}));
    Found found;
    found.transaction_id = metadata->superblock().transaction_id;
    found.needs_check = metadata->superblock().needs_check;
    for (const ThinId id : TRY(metadata->ids())) {
        const ThinDevice* volume = TRY(metadata->device(id));
        const auto highest = TRY(metadata->highest_mapped(*volume));
        found.volumes.push_back({id, volume->details, highest ? highest->n + 1 : 0});
    }
    return found;
}

// busy while device-mapper on this machine has the pool.
Result<> check_not_in_kernel(const GroupRow& group, const PoolRow& pool) {
    std::error_code error;
    for (const auto& disk : std::filesystem::directory_iterator("/sys/block", error)) {
        std::ifstream file(disk.path() / "dm" / "name");
        std::string name;
        if (!std::getline(file, name)) continue;
        for (const std::string_view part : {"-tpool", "_tdata", "_tmeta"}) {
            if (name == mapper_name(group.name, pool.lv.name).append(part))
                return Error(Errc::busy, fmt::format("pool {}/{} is in use by the kernel: dmsetup "
                                                     "remove its volumes and {} first",
                                                     group.name, pool.lv.name, name));
        }
    }
    return {};
}

// The catalog, the pool and what the user said of the differences, put side by side.
class Return {
public:
    Return(Session& session, const GroupRow& group, PoolRow pool, const ReturnDecisions& decisions,
           Found found)
        : session_(session),
          group_(group),
          pool_(std::move(pool)),
          decisions_(decisions),
          found_(std::move(found)) {}

    // What nobody has decided yet.
    Result<std::vector<std::string>> undecided() {
        known_ = TRY(session_.catalog.thins_of_pool(pool_.lv.id, true));
        TRY(check_decisions());
        std::vector<std::string> open;
        for (const Present& v : found_.volumes) {
            if (knows(v.id) || adoption_of(v.id) != nullptr || removes(v.id)) continue;
            open.push_back(fmt::format(
                "thin id {} is new: {} chunks mapped, made in transaction {}; --adopt {}=NAME "
                "makes it a volume, --delete-unknown {} removes it",
                v.id, v.details.mapped_blocks, v.details.created_in, v.id, v.id));
        }
        for (const ThinRow& row : known_) {
            if (present(row.thin_id) == nullptr && !forgets(row.lv.name))
                open.push_back(
                    fmt::format("volume {}/{} (thin id {}) is gone: --forget {} removes "
                                "it from the catalog",
                                group_.name, row.lv.name, row.thin_id, row.lv.name));
        }
        if (found_.transaction_id != pool_.transaction_id &&
            decisions_.accept != found_.transaction_id)
            open.push_back(
                fmt::format("the pool's transaction id is {}, and was {} when it was lent; "
                            "--accept-transaction-id {} takes it over",
                            found_.transaction_id, pool_.transaction_id, found_.transaction_id));
        return open;
    }

    // All rows, in one transaction. Volumes to be removed get a name and a pending removal, which
    // the pool's next owner carries out.
    Result<> write() {
        Catalog& catalog = session_.catalog;
        auto transaction = TRY(catalog.begin());
        std::uint32_t next = pool_.next_thin_id;
        RemoveVolumes removal;
        for (const Present& v : found_.volumes) {
            next = std::max(next, v.id.n() + 1);
            if (knows(v.id)) continue;
            const auto* adoption = adoption_of(v.id);
            const std::int64_t lv = TRY(add_volume(
                v, adoption != nullptr ? adoption->name : TRY(catalog.automatic_name(group_.id))));
            if (adoption == nullptr) removal.volumes.push_back({lv, v.id});
        }
        for (const ThinRow& row : known_) {
            if (present(row.thin_id) == nullptr) TRY(catalog.remove_lv(row.lv.id));
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

private:
    Result<> check_decisions() const {
        const auto wrong = [](const std::string& text) {
            return Error(Errc::invalid_argument, text);
        };
        for (const auto& adoption : decisions_.adopt) {
            TRY(check_volume_name(adoption.name));
            if (present(adoption.id) == nullptr || knows(adoption.id))
                return wrong(fmt::format("--adopt {}: no thin id {} is new in the pool",
                                         adoption.id, adoption.id));
            if (adoption_of(adoption.id) != &adoption)
                return wrong(fmt::format("--adopt: thin id {} is named twice", adoption.id));
            if (removes(adoption.id))
                return wrong(fmt::format("thin id {}: adopt or delete it, not both", adoption.id));
        }
        for (const ThinId id : decisions_.remove) {
            if (present(id) == nullptr || knows(id))
                return wrong(
                    fmt::format("--delete-unknown {}: no thin id {} is new in the pool", id, id));
        }
        for (const std::string& name : decisions_.forget) {
            const auto row = std::find_if(known_.begin(), known_.end(),
                                          [&](const ThinRow& r) { return r.lv.name == name; });
            if (row == known_.end() || present(row->thin_id) != nullptr)
                return wrong(
                    fmt::format("--forget {}: no volume of that name is gone from the "
                                "pool",
                                name));
        }
        return {};
    }

    Result<std::int64_t> add_volume(const Present& v, const std::string& name) {
        TRY(session_.catalog.check_new_name(group_, name));
        const auto* adoption = adoption_of(v.id);
        const Bytes chunk = to_bytes(pool_.chunk_size);
        const Bytes mapped(std::max<std::uint64_t>(v.mapped_end, 1) * chunk.n);
        ThinRow row;
        row.lv.vg_id = group_.id;
        row.lv.uuid = new_uuid();
        row.lv.name = name;
        row.lv.created = session_.now();
        row.pool_id = pool_.lv.id;
        row.thin_id = v.id;
        row.size = TRY(volume_size(
            group_, pool_, adoption != nullptr && adoption->size ? *adoption->size : mapped));
        if (row.size < mapped && v.mapped_end > 0)
            return Error(Errc::invalid_argument,
                         fmt::format("--adopt {}={}: {} is smaller than what is mapped, {}", v.id,
                                     name, row.size, mapped));
        return session_.catalog.add_thin(row);
    }

    bool knows(ThinId id) const {
        return std::any_of(known_.begin(), known_.end(),
                           [&](const ThinRow& row) { return row.thin_id == id; });
    }
    const Present* present(ThinId id) const {
        const auto it = std::find_if(found_.volumes.begin(), found_.volumes.end(),
                                     [&](const Present& v) { return v.id == id; });
        return it == found_.volumes.end() ? nullptr : &*it;
    }
    const ReturnDecisions::Adoption* adoption_of(ThinId id) const {
        const auto it = std::find_if(decisions_.adopt.begin(), decisions_.adopt.end(),
                                     [&](const auto& a) { return a.id == id; });
        return it == decisions_.adopt.end() ? nullptr : &*it;
    }
    bool removes(ThinId id) const { return std::ranges::count(decisions_.remove, id) > 0; }
    bool forgets(const std::string& name) const {
        return std::ranges::count(decisions_.forget, name) > 0;
    }

    Session& session_;
    const GroupRow& group_;
    PoolRow pool_;
    const ReturnDecisions& decisions_;
    Found found_;
    std::vector<ThinRow> known_;
};

}  // namespace

Result<> check_not_lent(const GroupRow& group, const PoolRow& pool) {
    if (pool.lent_to == LentTo::nobody) return {};
    return Error(Errc::read_only,
                 fmt::format("pool {}/{} is lent to the kernel: tvchange --return {}/{} takes it "
                             "back",
                             group.name, pool.lv.name, group.name, pool.lv.name));
}

Result<> lend_pool(Session& session, const GroupRow& group, const PoolRow& pool, LentTo to) {
    if (TRY(pool_status(session.environment, pool)))
        return Error(Errc::busy, fmt::format("pool {}/{} is active: tvchange -an its volumes first",
                                             group.name, pool.lv.name));
    for (const ThinRow& v : TRY(session.catalog.thins_of_pool(pool.lv.id))) {
        if (!v.external_origin.empty())
            return Error(Errc::unsupported,
                         fmt::format("{}/{} has an external origin, which the kernel would not "
                                     "know of",
                                     group.name, v.lv.name));
        if (v.merging != Merging::no)
            return Error(Errc::busy, fmt::format("{}/{} waits to replace its origin: activate "
                                                 "that once, or tvconvert --cancelmerge",
                                                 group.name, v.lv.name));
    }
    {
        // As for a server: what a killed one left unflushed is flushed with the rest.
        const auto local = TRY(LocalPool::open(session, group, pool, nullptr, true));
        TRY(local->pool().settle());
        TRY(flush_now(local->devices().data()));
        TRY(flush_now(local->devices().metadata()));
        auto transaction = TRY(session.catalog.begin());
        TRY(session.catalog.set_lent_to(pool.lv.id, to));
        TRY(session.catalog.prune_log(group.id));
        TRY(std::move(transaction).commit());
    }
    return sync_group_log(session, group);
}

Result<ReturnedPool> return_pool(Session& session, const GroupRow& group, const PoolRow& pool,
                                 const ReturnDecisions& decisions) {
    ReturnedPool returned;
    {
        const auto lock = TRY(FileLock::try_exclusive(session.environment.lock_path(pool.lv.uuid)));
        const PoolRow fresh = TRY(session.catalog.pool(pool.lv.id));
        if (fresh.lent_to == LentTo::nobody)
            return Error(Errc::invalid_argument,
                         fmt::format("pool {}/{} is not lent", group.name, pool.lv.name));
        TRY(check_not_in_kernel(group, fresh));
        const auto devices = TRY(PoolDevices::open(session, group, fresh, false, nullptr, true));
        Found found = TRY(within(fmt::format("pool {}/{}", group.name, pool.lv.name),
                                 look_at(devices->metadata())));
        if (found.needs_check)
            returned.warnings.push_back(
                fmt::format("the kernel has set needs_check on pool {}/{}: it takes no changes "
                            "until its metadata are checked or repaired",
                            group.name, pool.lv.name));
        Return change(session, group, fresh, decisions, std::move(found));
        returned.undecided = TRY(change.undecided());
        if (!returned.undecided.empty()) return returned;
        TRY(change.write());
    }
    // Opening carries out what is pending.
    if (TRY(session.catalog.pending(pool.lv.id))) {
        auto opened = LocalPool::open(session, group, pool);
        if (!opened) returned.warnings.push_back(opened.error().text);
    }
    if (auto synced = sync_group_log(session, group); !synced)
        returned.warnings.push_back(synced.error().text);
    return returned;
}

}  // namespace thinvol
