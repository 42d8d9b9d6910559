#include "engine/pool.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinvol {
namespace {

template <class... Fs>
struct Overloaded : Fs... {
    using Fs::operator()...;
};

// Volumes whose requests must stand still while the operation happens (C7).
std::optional<ThinId> gated_volume(const PoolOperation& operation) {
    if (const auto* snapshot = std::get_if<CreateSnapshot>(&operation)) return snapshot->origin;
    if (const auto* trim = std::get_if<TrimThin>(&operation)) return trim->id;
    return std::nullopt;
}

// A metadata snapshot is of a commit as a whole.
bool needs_unchanged(const ApplyRequest& request) {
    return !request.operations.empty() &&
           std::holds_alternative<ReserveMetadataSnapshot>(request.operations.front());
}

// Errors after which nothing was changed.
bool refused(Errc code) { return code != Errc::io_error && code != Errc::corrupt; }

DataBlocks whole_blocks(Sectors device, Sectors block) { return DataBlocks(device.n / block.n); }

bool out_of_space(PoolMode mode) {
    return mode == PoolMode::out_of_data_space || mode == PoolMode::out_of_metadata_space;
}

}  // namespace

Pool::Pool(BlockQueue& metadata, BlockQueue& data, Sectors data_block_size,
           const PoolOptions& options)
    : metadata_device_(metadata),
      data_(data),
      data_block_size_(data_block_size),
      metadata_options_(options.metadata),
      flusher_(data),
      committer_(metadata, flusher_),
      shard_(*this, data, data_block_size),
      reclaimer_(data, shard_.epochs(), lanes_, shard_.known_zero(), data_block_size) {}

Result<std::unique_ptr<Pool>> Pool::create(BlockQueue& metadata, BlockQueue& data,
                                           Sectors data_block_size, const PoolOptions& options) {
    TRY(check_data_block_size(data_block_size));
    const DataBlocks blocks = whole_blocks(data.size(), data_block_size);
    if (blocks == DataBlocks(0)) {
        return Error(Errc::invalid_argument,
                     fmt::format("a data device of {} sectors does not hold one block of {}",
                                 data.size(), data_block_size));
    }
    std::unique_ptr<Pool> pool(new Pool(metadata, data, data_block_size, options));
    pool->metadata_ =
        TRY(ThinMetadata::format(metadata, data_block_size, blocks, options.metadata));
    pool->lanes_.set_cache(&pool->metadata_->mapping_cache());
    TRY(pool->settle());
    TRY(pool->set_features(options.features));
    return pool;
}

Result<std::unique_ptr<Pool>> Pool::open(BlockQueue& metadata, BlockQueue& data,
                                         const PoolOptions& options) {
    auto md = TRY(ThinMetadata::open(metadata, options.metadata));
    const Sectors block = md->superblock().data_block_size;
    if (whole_blocks(data.size(), block) < md->data().size()) {
        return Error(Errc::corrupt,
                     fmt::format("the data device has {} blocks, the pool's metadata say {}",
                                 whole_blocks(data.size(), block), md->data().size()));
    }
    std::unique_ptr<Pool> pool(new Pool(metadata, data, block, options));
    pool->metadata_ = std::move(md);
    pool->lanes_.set_cache(&pool->metadata_->mapping_cache());
    if (std::string why = pool->unsound(); !why.empty())
        pool->set_mode(PoolMode::read_only, std::move(why));
    TRY(pool->set_features(options.features));
    return pool;
}

// Why the metadata must not be changed; empty: they may.
std::string Pool::unsound() const {
    if (metadata_ == nullptr) return "they cannot be read";
    if (metadata_->superblock().needs_check) return "needs_check is set in the metadata";
    if (metadata_->superblock().time <= SnapTime::max) return "";
    return fmt::format(
        "its snapshot clock is {}, past its end of {}: dump the metadata and restore them",
        metadata_->superblock().time, SnapTime::max);
}

// --- volumes -------------------------------------------------------------------------------------

Result<Volume*> Pool::open_volume(ThinId id, Bytes size, bool read_only,
                                  BlockQueue* external_origin) {
    if (const auto it = volumes_.find(id); it != volumes_.end()) {
        ++it->second.second;
        return it->second.first.get();
    }
    if (metadata_ == nullptr) return Error(Errc::io_error, trouble_);
    ThinDevice* device = TRY(metadata_->device(id));
    ++device->opened;
    auto volume = std::make_unique<Volume>();
    volume->id = id;
    volume->size = size;
    volume->read_only = read_only;
    volume->device = device;
    volume->external_origin = external_origin;
    if (external_origin != nullptr) over_origin_.push_back(volume.get());
    show_to_lanes(*volume);
    return volumes_.emplace(id, std::pair(std::move(volume), 1U)).first->second.first.get();
}

void Pool::resize_volume(Volume& volume, Bytes size, bool read_only) {
    volume.size = size;
    volume.read_only = read_only;
    show_to_lanes(volume);
}

// The time before the gate: a lane that finds it open sees the last snapshot's.
void Pool::show_to_lanes(Volume& volume) {
    LaneView& view = volume.lanes;
    const Gate& gate = volume.gate;
    const bool there = volume.device != nullptr;
    if (there)
        view.snapshot_time.store(volume.device->details.snapshotted_time,
                                 std::memory_order_relaxed);
    view.size.store(there ? volume.size.n : 0, std::memory_order_release);
    view.writes.store(there && !volume.read_only && gate.closed == 0 && !gate.exclusive,
                      std::memory_order_seq_cst);
}

void Pool::close_volume(Volume& volume) {
    const auto it = volumes_.find(volume.id);
    ASSERT(it != volumes_.end());
    if (--it->second.second > 0) return;
    ASSERT(volume.requests == 0);
    if (volume.device != nullptr) --volume.device->opened;
    shard_.forget(volume);
    std::erase(over_origin_, &volume);
    volumes_.erase(it);
}

Volume* Pool::find_volume(ThinId id) {
    const auto it = volumes_.find(id);
    return it == volumes_.end() ? nullptr : it->second.first.get();
}

Result<> Pool::set_bounds(ThinId id, const SpaceBounds& bounds) {
    if (metadata_ == nullptr) return Error(Errc::io_error, trouble_);
    TRY(metadata_->set_bounds(id, bounds));
    find_space();
    return {};
}

Result<DataBlocks> Pool::own_blocks(ThinId id) const {
    if (metadata_ == nullptr) return Error(Errc::io_error, trouble_);
    return metadata_->own_blocks(id);
}

Result<Pool::VolumeUse> Pool::volume_use(ThinId id) {
    if (metadata_ == nullptr) return Error(Errc::io_error, trouble_);
    const ThinDevice* device = TRY(metadata_->device(id));
    const auto highest = TRY(metadata_->highest_mapped(*device));
    return VolumeUse{device->details.mapped_blocks, highest};
}

Result<std::vector<ThinId>> Pool::volume_ids() {
    if (metadata_ == nullptr) return Error(Errc::io_error, trouble_);
    return metadata_->ids();
}

// --- running -------------------------------------------------------------------------------------

bool Pool::run_once() {
    metadata_device_.poll(false);
    data_.poll(false);
    for (Volume* volume : over_origin_) volume->external_origin->poll(false);
    bool progress = flusher_.run_once();
    Fifo<IoRequest> handed_over = lanes_.take();
    while (!handed_over.empty()) {
        progress = true;
        submit(handed_over.pop());
    }
    if (!stalled_) {
        progress = shard_.run_once() || progress;
        progress = run_apply() || progress;
    }
    progress = run_commit() || progress;
    if (metadata_ != nullptr) {
        watch_space();
        const bool came_back = reclaimer_.run_once(*metadata_, shard_.has_parked());
        progress = progress || came_back;
        if (came_back) find_space();
        if (!stalled_) metadata_->trim();
    }
    return run_failure() || progress;
}

void Pool::run_until(const std::function<bool()>& done) {
    while (!done()) {
        if (run_once()) continue;
        if (metadata_device_.in_flight() > 0) metadata_device_.poll(true);
        else if (data_.in_flight() > 0) data_.poll(true);
        else if (BlockQueue* origin = busy_origin()) origin->poll(true);
        else return;
    }
}

BlockQueue* Pool::busy_origin() {
    for (const Volume* volume : over_origin_) {
        if (volume->external_origin->in_flight() > 0) return volume->external_origin;
    }
    return nullptr;
}

// C12: lanes may write to blocks whose mappings are durable.
void Pool::settle_volumes() {
    if (metadata_ == nullptr) return;
    for (const auto& [id, entry] : volumes_) {
        Volume& volume = *entry.first;
        if (volume.lanes.unsettled.load(std::memory_order_relaxed) && volume.device != nullptr &&
            volume.device->last_change <= metadata_->durable_commit())
            volume.lanes.unsettled.store(false, std::memory_order_seq_cst);
    }
}

void Pool::set_outlived(Volume& volume, bool on) {
    volume.outlived = on;
    volume.lanes.unsettled.store(on, std::memory_order_seq_cst);
    commit_wanted_ = true;
}

Result<> Pool::settle() {
    commit_if_changed();
    run_until([this] { return mode_ == PoolMode::failed || status().settled; });
    if (mode_ == PoolMode::failed || mode_ == PoolMode::read_only)
        return Error(Errc::io_error, trouble_);
    return {};
}

bool Pool::run_commit() {
    if (metadata_ == nullptr) return false;
    bool progress = committer_.run_once(*metadata_);
    if (auto retired = committer_.take_retired(); !retired.empty())
        reclaimer_.add(std::move(retired));
    if (progress && committer_.idle()) {
        find_space();
        settle_volumes();
    }
    constexpr std::size_t large_transaction = 4096;  // dirty metadata blocks: 16 MiB
    if (metadata_->open_frames() > large_transaction) commit_wanted_ = true;
    if (shard_.has_parked() && metadata_->commit_brings_space()) commit_wanted_ = true;
    if (!commit_wanted_ || stalled_ || !committer_.idle()) return progress;
    commit_wanted_ = false;
    if (!metadata_->changed()) {
        settle_volumes();
        return progress;
    }
    committer_.start(*metadata_);
    if (apply_ != nullptr && apply_state_ == ApplyState::sealing && !committer_.failed())
        execute_apply();
    return true;
}

bool Pool::want_commit() {
    commit_wanted_ = true;
    return metadata_->changed() || !committer_.idle();
}

// A commit became durable or blocks came back: what was parked may go on, a full pool may be one no
// more.
void Pool::find_space() {
    if (stalled_) return;
    const bool data =
        metadata_ != nullptr && !full_below_ && metadata_->data().allocatable() > DataBlocks(0);
    if ((mode_ == PoolMode::out_of_data_space && data) ||
        (mode_ == PoolMode::out_of_metadata_space && metadata_->room_for_provisioning()))
        set_mode(PoolMode::write, "");
    shard_.retry_changes();
    if (!out_of_space(mode_) || !waits_for_space()) shard_.retry_parked();
}

Result<> Pool::may_provision() const {
    if (mode_ == PoolMode::read_only || mode_ == PoolMode::failed) {
        return Error(Errc::io_error, fmt::format("the pool is {}: {}", name_of(mode_), trouble_));
    }
    return {};
}

void Pool::ran_out_of(PoolMode what, const Error& error) {
    if (mode_ < what) set_mode(what, error.text);
}

void Pool::ran_out_below(const Error& error) {
    full_below_ = true;
    ran_out_of(PoolMode::out_of_data_space, error);
}

void Pool::filled_new_block() {
    if (!std::exchange(full_below_, false)) return;
    find_space();
}

void Pool::set_mode(PoolMode mode, std::string trouble) {
    trouble_ = std::move(trouble);
    if (mode == PoolMode::write) {
        waited_too_long_ = false;
        full_since_.reset();
    }
    if (std::exchange(mode_, mode) != mode) tell(PoolEvent::Kind::mode, 0, trouble_);
}

// --- features, time and events -------------------------------------------------------------------

Result<> Pool::set_features(const PoolFeatures& features) {
    const bool ignores = features.discards == Discards::ignore;
    if (ignores != (features_.discards == Discards::ignore) && !volumes_.empty()) {
        return Error(Errc::busy,
                     fmt::format("{} volumes of the pool are open; discards are ignored, or not, "
                                 "for as long as any is",
                                 volumes_.size()));
    }
    features_ = features;
    reclaimer_.set_passdown(features.discards == Discards::passdown);
    data_watch_.set(features.low_water.n, features.fill_levels);
    if (metadata_ != nullptr)
        metadata_watch_.set(low_water_of_metadata(metadata_->metadata().size()).n,
                            features.fill_levels);
    if (features.read_only && mode_ < PoolMode::read_only)
        set_mode(PoolMode::read_only, "it was made so by its features");
    else if (!features.read_only && mode_ == PoolMode::read_only && !stalled_ && unsound().empty())
        set_mode(PoolMode::write, "");
    waited_too_long_ = false;
    full_since_.reset();
    find_space();
    return {};
}

void Pool::tick(std::chrono::milliseconds now) {
    commit_if_changed();
    const auto passed = now - last_tick_.value_or(now);
    last_tick_ = now;
    reclaimer_.allow(features_.discard_rate, passed);
    if (!out_of_space(mode_) || !waits_for_space()) return;
    if (!full_since_) full_since_ = now;
    const std::chrono::milliseconds limit = features_.no_space_timeout;
    if (limit.count() > 0 && now - *full_since_ >= limit) {
        waited_too_long_ = true;
        tell(PoolEvent::Kind::no_space_timeout, 0, trouble_);
        return shard_.retry_parked();
    }
    if (!full_below_) return;
    probe_below_ = true;
    shard_.retry_parked();
}

void Pool::tell(PoolEvent::Kind kind, unsigned percent, std::string text, unsigned from) {
    if (on_event_) on_event_({kind, mode_, percent, std::move(text), from});
}

void Pool::watch_space() {
    const auto look = [&](SpaceWatch& watch, std::uint64_t free, std::uint64_t size,
                          const char* what, PoolEvent::Kind low, PoolEvent::Kind level) {
        const SpaceWatch::Passed passed = watch.look(size - free, size);
        const auto text = [&] {
            return fmt::format("{} of {} {} blocks are free", free, size, what);
        };
        if (passed.low_water) tell(low, 0, text());
        if (passed.level > 0) tell(level, passed.level, text(), passed.from);
    };
    const DataSpaceMap& data = metadata_->data();
    look(data_watch_, data.free().n, data.size().n, "data", PoolEvent::Kind::data_low_water,
         PoolEvent::Kind::data_level);
    const MetadataSpaceMap& map = metadata_->metadata();
    look(metadata_watch_, map.free().n, map.size().n, "metadata",
         PoolEvent::Kind::metadata_low_water, PoolEvent::Kind::metadata_level);
}

// --- operations ----------------------------------------------------------------------------------

bool Pool::run_apply() {
    if (apply_ == nullptr) {
        if (applies_.empty()) return false;
        start_apply(applies_.pop());
        return true;
    }
    if (apply_state_ == ApplyState::draining) {
        for (const Volume* volume : gated_) {
            if (!shard_.drained(*volume)) return false;
        }
        if (needs_unchanged(*apply_)) apply_state_ = ApplyState::sealing;
        else execute_apply();
        return true;
    }
    if (apply_state_ == ApplyState::sealing) {
        if (metadata_ != nullptr && metadata_->changed() && mode_ < PoolMode::read_only) {
            commit_wanted_ = true;  // run_commit() goes on
            return false;
        }
        execute_apply();
        return true;
    }
    if (metadata_->durable_commit() < apply_commit_) return false;
    if (apply_state_ == ApplyState::trimming) execute_apply();
    else finish_apply({});
    return true;
}

void Pool::start_apply(ApplyRequest& request) {
    apply_ = &request;
    apply_state_ = ApplyState::draining;
    for (const PoolOperation& operation : request.operations) {
        const auto id = gated_volume(operation);
        Volume* volume = id ? find_volume(*id) : nullptr;
        if (volume == nullptr) continue;
        shard_.close_gate(*volume);
        gated_.push_back(volume);
    }
}

Result<> Pool::validate(const ApplyRequest& request) {
    if (mode_ >= PoolMode::read_only)
        return Error(Errc::read_only, fmt::format("the pool is {}: {}", name_of(mode_), trouble_));
    if (metadata_->superblock().transaction_id != request.from) {
        return Error(Errc::invalid_argument,
                     fmt::format("the pool's transaction id is {}, expected {}",
                                 metadata_->superblock().transaction_id, request.from));
    }
    bool provisions = false;
    MetadataBlocks added(0);
    for (const PoolOperation& operation : request.operations) {
        if (const auto* grow = std::get_if<GrowMetadata>(&operation);
            grow != nullptr && grow->size > metadata_->metadata().size()) {
            added = grow->size - metadata_->metadata().size();
        }
        if (const auto* grow = std::get_if<GrowData>(&operation))
            TRY(metadata_->room_to_grow_data(grow->size, added));
        const bool alone = std::holds_alternative<TrimThin>(operation) ||
                           std::holds_alternative<ReserveMetadataSnapshot>(operation);
        ASSERT(!alone || request.operations.size() == 1);
        if (const auto* create = std::get_if<CreateThin>(&operation)) {
            provisions = true;
            if (TRY(metadata_->exists(create->id)))
                return Error(Errc::exists, fmt::format("thin id {} exists already", create->id));
        } else if (const auto* snapshot = std::get_if<CreateSnapshot>(&operation)) {
            provisions = true;
            if (TRY(metadata_->exists(snapshot->id)))
                return Error(Errc::exists, fmt::format("thin id {} exists already", snapshot->id));
            if (!TRY(metadata_->exists(snapshot->origin)))
                return Error(Errc::not_found,
                             fmt::format("thin id {} does not exist", snapshot->origin));
        } else if (const auto* gone = std::get_if<RemoveThin>(&operation)) {
            if (find_volume(gone->id) != nullptr)
                return Error(Errc::busy, fmt::format("thin id {} is in use", gone->id));
            if (!TRY(metadata_->exists(gone->id)))
                return Error(Errc::not_found, fmt::format("thin id {} does not exist", gone->id));
            TRY(metadata_->room_for_removing(gone->id, request.operations.size()));
        }
    }
    if (provisions) TRY(metadata_->room_for_new_volumes(request.operations.size()));
    return {};
}

Result<> Pool::perform(PoolOperation& operation) {
    return std::visit(
        Overloaded{
            [&](const CreateThin& o) { return metadata_->create_thin(o.id); },
            [&](const CreateSnapshot& o) { return metadata_->create_snapshot(o.id, o.origin); },
            [&](const RemoveThin& o) { return metadata_->remove(o.id); },
            [&](TrimThin& o) { return trim(o); },
            [&](const ReserveMetadataSnapshot&) { return metadata_->reserve_metadata_snapshot(); },
            [&](const ReleaseMetadataSnapshot&) { return metadata_->release_metadata_snapshot(); },
            [&](const GrowData& o) -> Result<> {
                if (o.size > whole_blocks(data_.size(), data_block_size_)) {
                    return Error(Errc::invalid_argument,
                                 fmt::format("the data device has {} blocks, not {}",
                                             whole_blocks(data_.size(), data_block_size_), o.size));
                }
                return metadata_->grow_data(o.size);
            },
            [&](const GrowMetadata& o) -> Result<> {
                if (o.size > to_metadata_blocks(metadata_device_.size())) {
                    return Error(Errc::invalid_argument,
                                 fmt::format("the metadata device has {} blocks, not {}",
                                             to_metadata_blocks(metadata_device_.size()), o.size));
                }
                return metadata_->grow_metadata(o.size);
            }},
        operation);
}

// As far as the metadata device has room; the rest after a commit. Nothing is lost if that is all
// that ever happens: the caller gave the range up.
Result<> Pool::trim(TrimThin& operation) {
    ThinDevice* device = TRY(metadata_->device(operation.id));
    const VirtualBlock end(~0ULL);
    operation.from = TRY(metadata_->unmap(*device, operation.from, end, ~0ULL));
    trim_unfinished_ = operation.from < end;
    return {};
}

// All of it happens here, between two looks at anything else: no commit can hold half of it.
void Pool::execute_apply() {
    if (auto valid = validate(*apply_); !valid) {
        if (!refused(valid.error().code)) fail(valid.error());
        return finish_apply(std::move(valid));
    }
    for (std::size_t i = 0; i < apply_->operations.size(); ++i) {
        auto outcome = perform(apply_->operations[i]);
        if (outcome) continue;
        if (i > 0 || !refused(outcome.error().code)) fail(outcome.error());
        return finish_apply(std::move(outcome));
    }
    apply_commit_ = metadata_->open_commit();
    commit_wanted_ = true;
    if (std::exchange(trim_unfinished_, false)) {
        apply_state_ = ApplyState::trimming;
        return;
    }
    if (apply_->to != apply_->from) {
        const auto moved = metadata_->set_transaction_id(apply_->from, apply_->to);
        ASSERT(moved.has_value());
    }
    apply_state_ = ApplyState::committing;
    for (Volume* volume : std::exchange(gated_, {})) shard_.open_gate(*volume);
    if (!metadata_->changed()) finish_apply({});  // nothing to do was asked for
}

void Pool::finish_apply(Result<> outcome) {
    for (Volume* volume : std::exchange(gated_, {})) shard_.open_gate(*volume);
    ApplyRequest& request = *std::exchange(apply_, nullptr);
    request.outcome = std::move(outcome);
    find_space();
    if (request.done != nullptr) request.done(request);
}

// --- failure (C8) --------------------------------------------------------------------------------

void Pool::fail(Error error) {
    if (stalled_ || metadata_ == nullptr) return;  // nothing is left that could fail
    stalled_ = true;
    set_mode(std::max(mode_, PoolMode::read_only), std::move(error.text));
}

bool Pool::run_failure() {
    if (metadata_ == nullptr) return false;
    if (committer_.failed()) fail(committer_.error());
    else if (flusher_.failed() && mode_ < PoolMode::read_only) fail(flusher_.error());
    if (!stalled_ || !(committer_.idle() || committer_.failed())) return false;
    if (!std::exchange(lanes_closed_, true)) lanes_.close();
    if (!lanes_.quiet()) return false;
    reload();
    return true;
}

// Drops what is not durable and looks at the device for what is: the superblock there decides.
void Pool::reload() {
    const CommitNumber durable = metadata_->durable_commit();
    const bool applied =
        apply_ != nullptr && apply_state_ == ApplyState::committing && apply_commit_ <= durable;
    if (committer_.failed()) committer_.reset();
    reclaimer_.forget();
    for (auto& [id, entry] : volumes_) {
        Volume& volume = *entry.first;
        if (volume.device != nullptr && volume.device->last_change > durable)
            volume.lost_changes = true;
        volume.device = nullptr;
    }
    const auto bounds = metadata_->bounds();
    auto cache = metadata_->take_mapping_cache();
    metadata_.reset();
    cache->clear();
    ++generation_;
    auto reopened = ThinMetadata::open(metadata_device_, metadata_options_, std::move(cache));
    if (reopened) {
        metadata_ = std::move(*reopened);
        lanes_.set_cache(&metadata_->mapping_cache());
        for (auto& [id, entry] : volumes_) {
            if (auto device = metadata_->device(id)) {
                entry.first->device = *device;
                ++entry.first->device->opened;
            }
        }
        for (const auto& [id, of] : bounds)
            ignore(metadata_->set_bounds(id, of), "nothing is allocated while it is read-only");
        for (auto& [id, entry] : volumes_) show_to_lanes(*entry.first);
        lanes_closed_ = false;
        lanes_.open();
        persist_needs_check();
    } else {
        set_mode(PoolMode::failed, trouble_ + "; then " + reopened.error().text);
    }
    stalled_ = false;
    commit_wanted_ = false;
    shard_.fail_pending(Error(Errc::io_error, trouble_));
    if (apply_ != nullptr) finish_apply(applied ? Result<>() : Error(Errc::io_error, trouble_));
}

// Best effort, and of the durable superblock only: whichever reaches the device, it is a whole
// transaction.
void Pool::persist_needs_check() {
    metadata_->set_needs_check();
    auto bytes = metadata_->durable_superblock();
    metadata_->superblock().encode(bytes);
    ignore(write_now(metadata_device_, Sector(0), bytes, true),
           "the pool is read-only in this process either way");
}

// --- status, pins --------------------------------------------------------------------------------

PoolStatus Pool::status() const {
    PoolStatus s;
    s.mode = mode_;
    s.trouble = trouble_;
    s.commits = committer_.commits();
    s.lost_changes = std::any_of(volumes_.begin(), volumes_.end(), [](const auto& entry) {
        return entry.second.first->lost_changes;
    });
    if (metadata_ == nullptr) return s;
    s.needs_check = metadata_->superblock().needs_check;
    s.transaction_id = metadata_->superblock().transaction_id;
    s.data_size = metadata_->data().size();
    s.data_used = s.data_size - metadata_->data().free();
    s.metadata_size = metadata_->metadata().size();
    s.metadata_used = s.metadata_size - metadata_->metadata().free();
    s.metadata_snapshot = metadata_->superblock().held_root;
    s.writes_wait_for_space = waits_for_space();
    s.committed = !metadata_->changed() && committer_.idle() && !stalled_;
    s.settled = s.committed && reclaimer_.idle();
    return s;
}

Result<Pool::Pin> Pool::pin() {
    if (metadata_ == nullptr) return Error(Errc::io_error, trouble_);
    return Pin{metadata_->pin(), generation_, metadata_->durable_superblock()};
}

void Pool::unpin(const Pin& pin) {
    if (metadata_ == nullptr || pin.generation != generation_) return;
    metadata_->unpin(pin.commit);
    reclaimer_.add(metadata_->settle_after_unpin());
}

}  // namespace thinvol
