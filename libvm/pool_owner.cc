#include "libvm/pool_owner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "libvm/config.h"
#include "libvm/device_policy.h"
#include "libvm/group_log.h"
#include "libvm/merges.h"
#include "libvm/placement.h"
#include "libvm/privileges.h"
#include "libvm/spare.h"
#include "libvm/tags.h"

namespace thinvol {
namespace {

Result<> check_thin_ids(const PoolRow& pool, std::size_t wanted) {
    if (pool.next_thin_id + wanted <= ThinId::max + 1ULL) return {};
    return Error(Errc::unsupported, fmt::format("pool {} has used all of its {} thin ids",
                                                pool.lv.name, ThinId::max + 1));
}

bool definite(Errc code) { return code != Errc::io_error && code != Errc::corrupt; }

// Whoever asks for these wants to know how full the pool is then.
bool is_growth(const PoolRequest& request) {
    return std::holds_alternative<MakeVolumesRequest>(request.what) ||
           std::holds_alternative<ResizeVolumeRequest>(request.what) ||
           std::holds_alternative<ExtendPoolRequest>(request.what);
}

}  // namespace

Result<PoolAnswer> PoolOwner::execute(const PoolRequest& request) {
    // An operation whose last step failed here, on a full disk say.
    if (TRY(session_.catalog.pending(pool_id_))) TRY(recover());
    if (const auto before = TRY(session_.catalog.answer(request.id)))
        return answer_from_json(*before);
    auto answer =
        std::visit([&](const auto& what) { return perform(request.id, what); }, request.what);
    if (answer && is_growth(request)) {
        const PoolAnswer now = status();
        answer->data_blocks = now.data_blocks;
        answer->data_used = now.data_used;
        answer->metadata_blocks = now.metadata_blocks;
        answer->metadata_used = now.metadata_used;
    }
    return answer;
}

// --- the three steps -----------------------------------------------------------------------------

Result<PendingRow> PoolOwner::begin(Transaction transaction, const PoolRow& pool,
                                    const std::string& id, const RecordedOperation& operation,
                                    const PoolAnswer& answer) {
    PendingRow pending{pool_id_,
                       id,
                       pool.transaction_id,
                       pool.transaction_id.next(),
                       to_json(operation),
                       to_json(Result<PoolAnswer>(answer))};
    TRY(session_.catalog.set_pending(pending));
    TRY(std::move(transaction).commit());
    return pending;
}

Result<PoolAnswer> PoolOwner::carry_out(const PendingRow& pending,
                                        const RecordedOperation& operation,
                                        const std::function<Result<>()>& before) {
    auto outcome = before ? before() : Result<>();
    if (outcome) {
        outcome = engine_.apply(asked_of_pool(operation), pending.from, pending.to);
        // An I/O error does not say whether it happened: the pool has looked at its superblock
        // since.
        if (!outcome && !definite(outcome.error().code) && transaction_id() == pending.to)
            outcome = {};
    }
    if (!outcome) {
        if (auto undone = undo(pending, operation); !undone) {
            return Error(outcome.error().code,
                         fmt::format("{}; and taking it back failed: {}", outcome.error().text,
                                     undone.error().text));
        }
        return std::move(outcome).error();
    }
    TRY(finish(pending, operation));
    PoolAnswer answer = TRY(answer_from_json(pending.answer));
    sync_log(answer);
    return answer;
}

Result<> PoolOwner::finish(const PendingRow& pending, const RecordedOperation& operation) {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    const PoolRow pool = TRY(catalog.pool(pool_id_));
    TRY(finish_operation(catalog, pool_id_, operation));
    TRY(catalog.set_transaction_id(pool_id_, pending.to));
    TRY(catalog.clear_pending(pool_id_));
    TRY(catalog.remember_answer(pending.request, pending.answer));
    TRY(catalog.prune_log(pool.lv.vg_id));
    return std::move(transaction).commit();
}

Result<> PoolOwner::undo(const PendingRow& pending, const RecordedOperation& operation) {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    TRY(catalog.clear_pending(pending.pool_id));
    TRY(undo_operation(catalog, pool_id_, operation));
    return std::move(transaction).commit();
}

TransactionId PoolOwner::transaction_id() {
    TransactionId id{};
    engine_.call([&](Pool& pool, PoolDevices&) { id = pool.status().transaction_id; });
    return id;
}

// What another process wrote may be visible and not yet durable.
Result<> PoolOwner::flush_metadata() {
    Result<> outcome;
    engine_.call([&](Pool&, PoolDevices& devices) { outcome = flush_now(devices.metadata()); });
    return outcome;
}

Error PoolOwner::disagreement(TransactionId in_pool, const PoolRow& pool,
                              const std::optional<PendingRow>& pending) const {
    const std::string expected = pending ? fmt::format("{} or {}", pending->from, pending->to)
                                         : fmt::format("{}", pool.transaction_id);
    return {Errc::corrupt, fmt::format("the pool's transaction id is {}, the catalog expects {}: "
                                       "one of the two was replaced by an older or newer "
                                       "copy. Bring the matching catalog or physical volumes "
                                       "back, or let tvgreconcile settle it (--test shows what "
                                       "differs)",
                                       in_pool, expected)};
}

Result<> PoolOwner::recover() {
    const PoolRow pool = TRY(session_.catalog.pool(pool_id_));
    const auto pending = TRY(session_.catalog.pending(pool_id_));
    const TransactionId in_pool = transaction_id();
    if (!pending) {
        if (in_pool != pool.transaction_id) return disagreement(in_pool, pool, pending);
        return {};
    }
    const RecordedOperation operation = TRY(operation_from_json(pending->operation));
    if (in_pool == pending->to) {
        TRY(flush_metadata());
        TRY(finish(*pending, operation));
    } else if (in_pool == pending->from) {
        auto outcome = carry_out(*pending, operation);
        if (!outcome && !definite(outcome.error().code)) return std::move(outcome).error();
        if (!outcome) {
            Result<> dropped;
            engine_.call([&](Pool&, PoolDevices& devices) {
                dropped = devices.drop_segments(session_, pool);
            });
            TRY(std::move(dropped));
        }
    } else {
        return disagreement(in_pool, pool, pending);
    }
    return {};
}

// The group's log may be one step behind: whoever comes next brings it up.
void PoolOwner::sync_log(PoolAnswer& answer) {
    const auto run = [&]() -> Result<> {
        const PoolRow pool = TRY(session_.catalog.pool(pool_id_));
        return sync_group_log(session_, TRY(group(pool)));
    };
    if (auto synced = run(); !synced) answer.warnings.push_back(synced.error().text);
}

// --- requests ------------------------------------------------------------------------------------

Result<PoolAnswer> PoolOwner::perform(const std::string& id, const MakeVolumesRequest& request) {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    const PoolRow pool = TRY(catalog.pool(pool_id_));
    const GroupRow vg = TRY(group(pool));
    TRY(check_thin_ids(pool, request.volumes.size()));
    MakeVolumes make;
    PoolAnswer answer;
    for (std::size_t i = 0; i < request.volumes.size(); ++i) {
        const auto& wanted = request.volumes[i];
        ThinRow row;
        row.lv.vg_id = vg.id;
        row.lv.uuid = new_uuid();
        row.lv.name = wanted.name.empty() ? TRY(catalog.automatic_name(vg.id)) : wanted.name;
        TRY(catalog.check_new_name(vg, row.lv.name));
        row.lv.kind = LvKind::thin;
        row.lv.read_only = wanted.read_only;
        row.lv.pending = true;
        row.lv.created = session_.now();
        row.pool_id = pool_id_;
        row.thin_id = ThinId::checked(pool.next_thin_id + i);
        row.size = wanted.size;
        row.skip_activation = wanted.skip_activation;
        row.external_origin = wanted.external_origin;
        std::optional<ThinId> origin;
        if (wanted.origin_id != 0) {
            const ThinRow from = TRY(catalog.thin(wanted.origin_id));
            if (from.pool_id != pool_id_)
                return Error(Errc::invalid_argument,
                             fmt::format("volume {}/{} is in another pool", vg.name, from.lv.name));
            row.origin_id = from.lv.id;
            row.size = from.size;
            row.external_origin = from.external_origin;
            origin = from.thin_id;
        }
        const std::int64_t lv_id = TRY(catalog.add_thin(row));
        if (origin) TRY(copy_setting(catalog, row.origin_id, lv_id, "nbd.access"));
        for (const std::string& tag : wanted.tags) TRY(add_tag(catalog, {vg.id, 0, lv_id}, tag));
        make.volumes.push_back({lv_id, row.thin_id, origin});
        answer.names.push_back(row.lv.name);
    }
    TRY(catalog.set_next_thin_id(
        pool_id_, static_cast<std::uint32_t>(pool.next_thin_id + request.volumes.size())));
    const PendingRow pending = TRY(begin(std::move(transaction), pool, id, make, answer));
    return carry_out(pending, make);
}

Result<PoolAnswer> PoolOwner::perform(const std::string& id, const RemoveVolumesRequest& request) {
    Catalog& catalog = session_.catalog;
    RemoveVolumes remove;
    for (const std::int64_t lv_id : request.lv_ids) {
        const ThinRow volume = TRY(catalog.thin(lv_id));
        if (exports_ != nullptr && exports_->has(lv_id)) {
            TRY(exports_->check_unused(lv_id));
            if (!request.deactivate)
                return Error(Errc::busy,
                             fmt::format("Logical volume {} is active", volume.lv.name));
        }
        const auto merging = TRY(merging_into(catalog, lv_id));
        if (merging && std::find(request.lv_ids.begin(), request.lv_ids.end(), merging->lv.id) ==
                           request.lv_ids.end()) {
            return Error(Errc::busy, fmt::format("{} is to be replaced by its snapshot {}; end "
                                                 "that first: tvconvert --cancelmerge",
                                                 volume.lv.name, merging->lv.name));
        }
        remove.volumes.push_back({lv_id, volume.thin_id});
    }
    auto transaction = TRY(catalog.begin());
    const PoolRow pool = TRY(catalog.pool(pool_id_));
    const PendingRow pending = TRY(begin(std::move(transaction), pool, id, remove));
    std::vector<std::int64_t> deactivated;
    auto outcome = carry_out(pending, remove, [&]() -> Result<> {
        for (const std::int64_t lv_id : request.lv_ids) {
            if (!exported(lv_id)) continue;
            TRY(exports_->remove(lv_id));
            deactivated.push_back(lv_id);
        }
        return {};
    });
    // As it was, where they are all still there.
    if (outcome) return outcome;
    for (const std::int64_t lv_id : deactivated) {
        const auto volume = catalog.thin(lv_id);
        if (volume) ignore(exports_->add(*volume), "what failed is said already");
    }
    return outcome;
}

Result<PoolAnswer> PoolOwner::perform(const std::string& id, const ResizeVolumeRequest& request) {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    const PoolRow pool = TRY(catalog.pool(pool_id_));
    ThinRow volume = TRY(catalog.thin(request.lv_id));
    PoolAnswer answer;
    const Bytes before = volume.size;
    volume.size = request.size;
    if (request.size >= before) {
        TRY(catalog.set_thin_size(request.lv_id, request.size));
        TRY(catalog.remember_answer(id, to_json(Result<PoolAnswer>(answer))));
        TRY(std::move(transaction).commit());
        if (exports_ != nullptr) answer.warnings = exports_->update(volume);
        sync_log(answer);
        return answer;
    }
    if (exports_ != nullptr) TRY(exports_->check_resize(request.lv_id));
    if (!volume.external_origin.empty()) {
        return Error(Errc::unsupported,
                     fmt::format("{} has an external origin, which it would show again were it to "
                                 "grow after it was reduced",
                                 volume.lv.name));
    }
    const ReduceVolume reduce{request.lv_id, volume.thin_id, request.size,
                              VirtualBlock(divide_up(request.size.n, to_bytes(pool.chunk_size).n))};
    const PendingRow pending = TRY(begin(std::move(transaction), pool, id, reduce));
    auto outcome = carry_out(pending, reduce, [&] {
        if (exports_ != nullptr)
            exports_->update(volume);  // nobody writes behind the new end from here on
        return session_.environment.rehearsal ? Result<>() : zero_tail(pool, volume);
    });
    if (!outcome && exports_ != nullptr) exports_->update(TRY(catalog.thin(request.lv_id)));
    return outcome;
}

// The part of the last block behind the new end: growing again must show zeroes.
Result<> PoolOwner::zero_tail(const PoolRow& pool, const ThinRow& volume) {
    const std::uint64_t chunk = to_bytes(pool.chunk_size).n;
    if (volume.size.n % chunk == 0) return {};
    Result<Volume*> open = Error(Errc::io_error, "not opened");
    engine_.call(
        [&](Pool& p, PoolDevices&) { open = p.open_volume(volume.thin_id, volume.size, false); });
    IoRequest zero;
    zero.kind = IoKind::write_zeroes;
    zero.to_block_end = true;
    zero.volume = TRY(std::move(open));
    zero.offset = ByteOffset(volume.size.n);
    zero.length = Bytes(chunk - volume.size.n % chunk);
    const auto outcome = engine_.run(zero);
    engine_.call([&](Pool& p, PoolDevices&) { p.close_volume(*zero.volume); });
    return outcome;
}

Result<> PoolOwner::add_segments(const GroupRow& vg, const PoolRow& pool, SegmentRole role,
                                 Extents extents, const std::vector<std::int64_t>& pv_ids) {
    if (extents == Extents(0)) return {};
    Catalog& catalog = session_.catalog;
    WantedExtents more{role, extents, pv_ids};
    more.present = TRY(catalog.segments_of(pool.lv.id, role, true));
    ASSERT(!more.present.empty());
    Extents start = more.present.back().start + more.present.back().length;
    for (const Placement& p : TRY(place(catalog, vg, more))) {
        TRY(catalog.add_segment(
            {0, vg.id, pool.lv.id, role, start, p.length, p.pv_id, p.start, true}));
        start += p.length;
    }
    return {};
}

Result<> PoolOwner::check_before(const PoolRow& pool, SegmentRole role, Extents before) {
    if (before == Extents(0)) return {};
    Extents now(0);
    for (const SegmentRow& s : TRY(session_.catalog.segments_of(pool_id_, role, false)))
        now += s.length;
    if (now == before) return {};
    return Error(
        Errc::exists,
        fmt::format("the {} of pool {} were resized meanwhile, from {} extents to {}",
                    role == SegmentRole::data ? "data" : "metadata", pool.lv.name, before, now));
}

Result<PoolAnswer> PoolOwner::perform(const std::string& id, const ExtendPoolRequest& request) {
    Catalog& catalog = session_.catalog;
    auto transaction = TRY(catalog.begin());
    const PoolRow pool = TRY(catalog.pool(pool_id_));
    const GroupRow vg = TRY(group(pool));
    TRY(check_before(pool, SegmentRole::data, request.data_before));
    TRY(check_before(pool, SegmentRole::metadata, request.metadata_before));
    TRY(add_segments(vg, pool, SegmentRole::metadata, request.metadata, request.pv_ids));
    TRY(add_segments(vg, pool, SegmentRole::data, request.data, request.pv_ids));
    const auto sectors_of = [&](SegmentRole role) -> Result<Sectors> {
        Sectors sum(0);
        for (const SegmentRow& s : TRY(catalog.segments_of(pool_id_, role, true)))
            sum += vg.extent_size * s.length.n;
        return sum;
    };
    GrowPool grow{};
    if (request.data > Extents(0))
        grow.data = DataBlocks(TRY(sectors_of(SegmentRole::data)).n / pool.chunk_size.n);
    if (request.metadata > Extents(0)) {
        const Sectors size = TRY(sectors_of(SegmentRole::metadata));
        grow.metadata = std::min(to_metadata_blocks(size), max_metadata_blocks);
        TRY(grow_spare(catalog, vg, Extents(size.n / vg.extent_size.n), session_.now()));
    }
    const PendingRow pending = TRY(begin(std::move(transaction), pool, id, grow));
    auto answer = carry_out(pending, grow, [&] {
        // A rebuild from the log must not take these extents for free ones.
        Result<> outcome = sync_group_log(session_, vg);
        if (!outcome) return outcome;
        engine_.call([&](Pool&, PoolDevices& devices) {
            outcome = devices.add_segments(session_, vg, pool);
            if (outcome) outcome = devices.allocate_metadata(session_, vg, pool);
        });
        return outcome;
    });
    if (answer) return answer;
    Result<> dropped;
    engine_.call(
        [&](Pool&, PoolDevices& devices) { dropped = devices.drop_segments(session_, pool); });
    TRY(std::move(dropped));
    return answer;
}

Result<PoolAnswer> PoolOwner::perform(const std::string& id, const MergeRequest& request) {
    Catalog& catalog = session_.catalog;
    ThinRow snapshot = TRY(catalog.thin(request.lv_id));
    TRY(check_mergeable(catalog, snapshot));
    const bool free = !exported(snapshot.lv.id) || exports_->check_unused(snapshot.lv.id);
    if (free && (!exported(snapshot.origin_id) || exports_->check_unused(snapshot.origin_id)))
        return replace(id, snapshot, request.keep);
    PoolAnswer answer;
    auto transaction = TRY(catalog.begin());
    TRY(check_mergeable(catalog, TRY(catalog.thin(request.lv_id))));
    TRY(set_merging(catalog, request.lv_id, request.keep ? Merging::keeping : Merging::yes));
    TRY(catalog.remember_answer(id, to_json(Result<PoolAnswer>(answer))));
    TRY(std::move(transaction).commit());
    sync_log(answer);
    return answer;
}

// Whatever comes of it, an origin that was active is so afterwards, with what it has then.
Result<PoolAnswer> PoolOwner::replace(const std::string& id, const ThinRow& wanted, bool keep) {
    Catalog& catalog = session_.catalog;
    const bool active = exported(wanted.origin_id), snapshot_active = exported(wanted.lv.id);
    if (snapshot_active) TRY(exports_->remove(wanted.lv.id));
    if (active) TRY(exports_->remove(wanted.origin_id));
    const auto merge = [&]() -> Result<PoolAnswer> {
        auto transaction = TRY(catalog.begin());
        const PoolRow pool = TRY(catalog.pool(pool_id_));
        const ThinRow snapshot = TRY(catalog.thin(wanted.lv.id));
        TRY(check_mergeable(catalog, snapshot));
        const ThinRow origin = TRY(catalog.thin(snapshot.origin_id));
        MergeVolume merged{origin.lv.id,     origin.thin_id, snapshot.lv.id,
                           snapshot.thin_id, snapshot.size,  0};
        PoolAnswer answer;
        answer.names.push_back(origin.lv.name);
        if (keep) {
            TRY(check_thin_ids(pool, 1));
            ThinRow kept = origin;
            kept.lv.uuid = new_uuid();
            kept.lv.name = TRY(premerge_name(catalog, origin));
            kept.lv.pending = true;
            kept.lv.created = session_.now();
            kept.thin_id = ThinId::checked(pool.next_thin_id);
            kept.origin_id = origin.lv.id;
            kept.skip_activation = true;
            TRY(catalog.set_next_thin_id(pool_id_, pool.next_thin_id + 1));
            merged.kept_id = TRY(catalog.add_thin(kept));
            TRY(copy_setting(catalog, origin.lv.id, merged.kept_id, "nbd.access"));
            answer.names.push_back(kept.lv.name);
        }
        const PendingRow pending = TRY(begin(std::move(transaction), pool, id, merged, answer));
        return carry_out(pending, merged);
    };
    auto outcome = merge();
    if (active) TRY(exports_->add(TRY(catalog.thin(wanted.origin_id))));
    if (snapshot_active && !outcome) TRY(exports_->add(TRY(catalog.thin(wanted.lv.id))));
    return outcome;
}

Result<> PoolOwner::merge_due(const std::vector<std::int64_t>& lv_ids, PoolAnswer& answer) {
    for (const std::int64_t lv_id : lv_ids) {
        if (exported(lv_id)) continue;
        auto snapshot = TRY(merging_into(session_.catalog, lv_id));
        if (!snapshot) {
            auto own = session_.catalog.thin(lv_id);
            if (!own || own->merging == Merging::no) continue;  // it may have been merged just now
            snapshot = std::move(*own);
        }
        if (exported(snapshot->lv.id) || exported(snapshot->origin_id)) continue;
        const PoolAnswer merged =
            TRY(replace(new_uuid(), *snapshot, snapshot->merging == Merging::keeping));
        answer.names.push_back(merged.names.front());
    }
    return {};
}

Result<PoolAnswer> PoolOwner::perform(const std::string&, const ActivateRequest& request) {
    if (exports_ == nullptr) return Error(Errc::unsupported, "the pool has no server");
    PoolAnswer answer;
    TRY(merge_due(request.lv_ids, answer));
    for (const std::int64_t lv_id : request.lv_ids) {
        const ThinRow volume = TRY(session_.catalog.thin(lv_id));
        if (exported(lv_id) && request.how.empty()) continue;
        const auto snapshot = TRY(merging_into(session_.catalog, lv_id));
        if (snapshot || volume.merging != Merging::no) {
            return Error(Errc::busy,
                         fmt::format("{} waits for a merge, which waits for {} to be deactivated: "
                                     "do that, or end the wait with tvconvert --cancelmerge",
                                     volume.lv.name, snapshot ? snapshot->lv.name : "its origin"));
        }
        TRY(export_as(volume, request.how, request.keep));
    }
    if (!request.how.empty()) sync_log(answer);
    return answer;
}

// What was asked for is kept only if it works here, and if it is to be.
Result<> PoolOwner::export_as(const ThinRow& volume, const std::string& how, bool keep) {
    if (how.empty()) return exports_->add(volume);
    const auto remember = [&](std::string_view what) -> Result<> {
        auto transaction = TRY(session_.catalog.begin());
        TRY(remember_export(session_.catalog, volume, what));
        return std::move(transaction).commit();
    };
    const std::string before = TRY(remembered_export(session_.catalog, volume));
    TRY(remember(how));
    auto added = exports_->add(volume);
    if (!added || !keep) TRY(remember(before));
    return added;
}

Result<PoolAnswer> PoolOwner::perform(const std::string&, const DeactivateRequest& request) {
    if (exports_ == nullptr) return PoolAnswer{};
    for (const std::int64_t lv_id : request.lv_ids) {
        if (exports_->has(lv_id)) TRY(exports_->check_unused(lv_id));
    }
    for (const std::int64_t lv_id : request.lv_ids) {
        if (exports_->has(lv_id)) TRY(exports_->remove(lv_id));
    }
    PoolAnswer answer;
    if (auto merged = merge_due(request.lv_ids, answer); !merged)
        answer.warnings.push_back(merged.error().text);
    answer.active = exports_->list();
    return answer;
}

Result<PoolAnswer> PoolOwner::perform(const std::string&, const RefreshRequest&) {
    if (exports_ == nullptr) return PoolAnswer{};
    PoolFeatures features = features_of(TRY(session_.catalog.pool(pool_id_)));
    Result<> set;
    engine_.call([&](Pool& pool, PoolDevices&) {
        features.fill_levels = pool.features().fill_levels;
        set = pool.set_features(features);
    });
    TRY(std::move(set));
    Result<> applied;
    PoolAnswer answer;
    for (const ThinRow& volume : TRY(session_.catalog.thins_of_pool(pool_id_))) {
        if (!exports_->has(volume.lv.id)) continue;
        for (std::string& warning : exports_->update(volume))
            answer.warnings.push_back(std::move(warning));
        if (auto one = exports_->apply_settings(volume); !one) applied = std::move(one);
    }
    TRY(std::move(applied));
    return answer;
}

Result<PoolAnswer> PoolOwner::perform(const std::string&, const StatusRequest&) { return status(); }

PoolAnswer PoolOwner::status() {
    PoolAnswer answer;
    answer.pid = ::getpid();
    answer.privileges = privileges_in_words();
    engine_.call([&](Pool& pool, PoolDevices& devices) {
        const PoolStatus s = pool.status();
        answer.mode = name_of(s.mode);
        answer.trouble = s.trouble;
        answer.needs_check = s.needs_check;
        answer.transaction_id = s.transaction_id.n;
        answer.data_blocks = s.data_size.n;
        answer.data_used = s.data_used.n;
        answer.metadata_blocks = s.metadata_size.n;
        answer.metadata_used = s.metadata_used.n;
        answer.commits = s.commits;
        answer.flushes = devices.flushes();
        answer.writes_wait_for_space = s.writes_wait_for_space;
    });
    if (exports_ != nullptr) answer.active = exports_->list();
    return answer;
}

Result<PoolAnswer> PoolOwner::perform(const std::string&, const WaitEventsRequest&) {
    return Error(Errc::unsupported, "only a server has events");
}
Result<PoolAnswer> PoolOwner::perform(const std::string&, const PinRequest&) {
    return Error(Errc::unsupported, "pins belong to a connection");
}
Result<PoolAnswer> PoolOwner::perform(const std::string&, const ReadMetadataRequest&) {
    return Error(Errc::unsupported, "pins belong to a connection");
}
Result<PoolAnswer> PoolOwner::perform(const std::string&, const MovePieceRequest&) {
    return Error(Errc::unsupported, "only a server moves pieces of a pool (served_move.h)");
}
Result<PoolAnswer> PoolOwner::perform(const std::string&, const OpenVolumeRequest&) {
    return Error(Errc::unsupported, "opened volumes belong to a connection");
}
Result<PoolAnswer> PoolOwner::perform(const std::string&, const VolumeIoRequest&) {
    return Error(Errc::unsupported, "opened volumes belong to a connection");
}
Result<PoolAnswer> PoolOwner::perform(const std::string&, const RestartRequest&) {
    return Error(Errc::unsupported, "there is no server to replace");
}

}  // namespace thinvol
