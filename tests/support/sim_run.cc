#include "tests/support/sim_run.h"

#include <fmt/format.h>

#include "engine/check.h"
#include "engine/run_now.h"
#include "tests/support/memory_queue.h"

namespace thinvol {
namespace {

constexpr Sectors data_block{128};
constexpr std::uint64_t most_volumes = 6;
constexpr std::uint32_t first_ballast = 1 << 20;
constexpr Generation origin_generation = never - 1000;  // of an external origin's sectors

PoolOptions options_of(const Workload& workload) {
    PoolOptions options;
    options.features.error_if_no_space = !workload.waits_for_space;
    options.features.no_space_timeout = std::chrono::seconds(5);
    options.metadata = {workload.cache_blocks, workload.mapping_cache};
    return options;
}

bool accepted(const Result<>& outcome) { return outcome.has_value(); }

}  // namespace

SimRun::SimRun(const Workload& workload, std::uint64_t seed, Sectors granule)
    : workload_(workload), random_(seed), moods_(~seed) {
    // The pool is made first; the run's trace begins with it as it lies on the devices.
    MemoryQueue md(Sectors(workload.metadata_blocks * 8));
    MemoryQueue data(data_block * workload.data_blocks);
    auto made = Pool::create(md, data, data_block, {});
    ASSERT(made.has_value());
    for (std::uint32_t i = 0; i < workload_.ballast; ++i) {
        const TransactionId id = (*made)->status().transaction_id;
        if (!apply_now(**made, {CreateThin{ThinId::checked(first_ballast + i)}}, id, id))
            workload_.ballast = i;  // no more fit
    }
    ASSERT((*made)->settle().has_value());
    made->reset();
    // What lay on the device before is somebody's: no volume may ever show it.
    for (std::size_t s = 0; s < data.bytes().size() / sector_bytes; ++s) {
        fill_stamp(std::span(data.bytes()).subspan(s * sector_bytes, sector_bytes), s, never);
    }
    if (workload_.origin_sectors > 0) {
        origin_ = std::make_unique<MemoryQueue>(Sectors(workload_.origin_sectors));
        for (std::size_t s = 0; s < workload_.origin_sectors; ++s)
            fill_stamp(std::span(origin_->bytes()).subspan(s * sector_bytes, sector_bytes), s,
                       origin_generation);
    }
    initial_ = {std::move(md.bytes()), std::move(data.bytes())};
    begin(granule);
    create();
    drain();
}

SimRun::SimRun(const SimRun& before, const CrashImages::Images& images, std::uint64_t seed)
    : workload_(before.workload_),
      random_(seed),
      moods_(~seed),
      initial_(images),
      next_id_(before.next_id_),
      next_generation_(before.next_generation_),
      errors_expected_(false) {
    if (before.origin_) origin_ = std::make_unique<MemoryQueue>(*before.origin_);
    begin(before.data_->granule());
    if (failures_.empty()) adopt_volumes();
}

void SimRun::adopt_volumes() {
    held_ = pool_->status().metadata_snapshot != MetadataBlock(0);
    const auto ids = pool_->volume_ids();
    if (!ids) return fail(ids.error().text);
    for (const ThinId id : *ids) {
        if (id.n() >= first_ballast) continue;
        auto life = std::make_unique<Life>();
        life->id = id;
        life->create_ended = 0;
        life->oracle = std::make_unique<VolumeOracle>(data_block * workload_.volume_blocks);
        const auto bytes = read_all(*pool_, *life);
        if (!bytes) return fail(bytes.error().text);
        std::vector<Generation> held(life->oracle->size().n);
        for (std::size_t s = 0; s < held.size(); ++s)
            held[s] = read_stamp(std::span(*bytes).subspan(s * sector_bytes, sector_bytes), s)
                          .value_or(never);
        life->oracle = std::make_unique<VolumeOracle>(life->oracle->size(), std::move(held));
        life->open = *open(*pool_, *life, false);
        lives_.push_back(std::move(life));
    }
}

void SimRun::begin(Sectors granule) {
    metadata_ = std::make_unique<SimDevice>(trace_, 0, initial_[0], moods_());
    data_ = std::make_unique<SimDevice>(trace_, 1, initial_[1], moods_());
    data_->set_granule(granule);
    data_->set_slowness(workload_.slowness);
    metadata_->set_slowness(workload_.metadata_slowness);
    auto opened = Pool::open(*metadata_, *data_, options_of(workload_));
    if (!opened) return fail("open: " + opened.error().text);
    pool_ = std::move(*opened);
    make_lanes();
}

SimRun::~SimRun() {
    errors_expected_ = true;
    if (pool_) drain();
    lanes_.clear();
}

void SimRun::make_lanes() {
    for (std::uint64_t i = 0; i < workload_.lanes; ++i)
        lanes_.push_back(std::make_unique<Lane>(pool_->lanes(), *data_, data_block, [] {}));
}

bool SimRun::run_lanes() {
    bool progress = false;
    for (auto& lane : lanes_) progress = lane->run_once() || progress;
    return progress;
}

template <class Done>
void SimRun::run_all_until(Done&& done) {
    while (!done()) {
        const bool progress = pool_->run_once();
        if (run_lanes() || progress) continue;
        if (metadata_->in_flight() > 0) metadata_->poll(true);
        else if (data_->in_flight() > 0) data_->poll(true);
        else return;
    }
}

void SimRun::fail(std::string text) {
    if (failures_.size() < 20) failures_.push_back(std::move(text));
}

void SimRun::run(std::uint64_t steps) {
    for (std::uint64_t i = 0; i < steps && failures_.empty(); ++i) perform(draw());
}

void SimRun::play(const std::vector<Act>& acts) {
    for (std::size_t i = 0; i < acts.size() && failures_.empty(); ++i) perform(acts[i]);
}

CrashImages::Images SimRun::initial_images() const {
    CrashImages::Images images = initial_;
    images[0].resize(metadata_->image().size());
    images[1].resize(data_->image().size());
    return images;
}

void SimRun::pump() {
    const std::uint64_t turn = lanes_.empty() ? 0 : moods_.below(lanes_.size() + 1);
    if (turn > 0) lanes_[turn - 1]->run_once();
    else if (!pool_->run_once()) {
        metadata_->poll(moods_.one_in(2));
        data_->poll(moods_.one_in(2));
    }
    std::erase_if(operations_, [](const auto& op) { return op->finished; });
}

void SimRun::drain() {
    const auto ended = [&] {
        return apply_ == nullptr && std::all_of(operations_.begin(), operations_.end(),
                                                [](const auto& op) { return op->finished; });
    };
    run_all_until(ended);
    // What waits for space gives up after its time.
    for (int second = 0; !ended() && workload_.waits_for_space && second < 100; ++second) {
        pool_->tick(clock_ += std::chrono::seconds(1));
        run_all_until(ended);
    }
    std::erase_if(operations_, [](const auto& op) { return op->finished; });
    if (apply_ != nullptr || !operations_.empty())
        fail("requests are left that nothing will ever finish");
}

void SimRun::reopen() {
    drain();
    if (auto settled = pool_->settle(); !settled) fail("settle: " + settled.error().text);
    for (auto& life : lives_) {
        if (life->open != nullptr) pool_->close_volume(*std::exchange(life->open, nullptr));
    }
    lanes_.clear();
    pool_.reset();
    auto opened = Pool::open(*metadata_, *data_, options_of(workload_));
    if (!opened) return fail("reopen: " + opened.error().text);
    pool_ = std::move(*opened);
    make_lanes();
    for (auto& life : lives_) {
        if (life->remove_began != never) continue;
        auto volume = open(*pool_, *life, false);
        if (!volume) fail("open volume: " + volume.error().text);
        else life->open = *volume;
    }
}

// By that lane, or by the pool.
std::vector<std::byte> SimRun::read_by(Lane* lane, const Life& life) {
    std::vector<std::byte> bytes(to_bytes(life.oracle->size()).n);
    IoRequest read;
    bool done = false;
    read.volume = life.open;
    read.length = Bytes(bytes.size());
    read.buffer = bytes.data();
    read.owner = &done;
    read.done = [](IoRequest& r) { *static_cast<bool*>(r.owner) = true; };
    if (lane != nullptr) lane->submit(read);
    else pool_->submit(read);
    run_all_until([&] { return done; });
    if (!read.outcome) fail("read: " + read.outcome.error().text);
    return bytes;
}

void SimRun::verify_as_on_disk() {
    run_all_until([&] { return pool_->status().committed; });  // a failure takes its turns, too
    MemoryQueue md(metadata_->size());
    MemoryQueue data(data_->size());
    md.bytes() = metadata_->image();
    data.bytes() = data_->image();
    auto anew = Pool::open(md, data, {});
    if (!anew) return fail("open: " + anew.error().text);
    for (auto& life : lives_) {
        if (life->open == nullptr || life->open->device == nullptr) continue;
        auto volume = open(**anew, *life, false);
        if (!volume) {
            fail("open volume: " + volume.error().text);
            continue;
        }
        std::vector<std::byte> there(to_bytes(life->oracle->size()).n);
        IoRequest read;
        read.volume = *volume;
        read.length = Bytes(there.size());
        read.buffer = there.data();
        if (auto outcome = submit_now(**anew, read); !outcome) fail(outcome.error().text);
        for (std::size_t way = 0; way <= lanes_.size(); ++way) {
            if (read_by(way == 0 ? nullptr : lanes_[way - 1].get(), *life) == there) continue;
            fail(fmt::format("volume {} reads by way {} not as it is on the disk", life->id, way));
        }
        (*anew)->close_volume(**volume);
    }
}

Result<Volume*> SimRun::open(Pool& pool, const Life& life, bool read_only) {
    Volume* volume =
        TRY(pool.open_volume(life.id, to_bytes(life.oracle->size()), read_only, origin_.get()));
    pool.set_outlived(*volume, workload_.outlived);
    return volume;
}

// One that was just made: where errors are planted it may not be found.
void SimRun::open_new(Life& life) {
    auto volume = open(*pool_, life, false);
    if (volume) life.open = *volume;
    else if (!errors_expected_) fail("open volume: " + volume.error().text);
}

SimRun::Life* SimRun::pick(std::uint32_t who, bool idle) {
    std::vector<Life*> candidates;
    for (auto& life : lives_) {
        if (life->open != nullptr && (!idle || life->in_flight == 0))
            candidates.push_back(life.get());
    }
    return candidates.empty() ? nullptr : candidates[who % candidates.size()];
}

Act SimRun::draw() {
    const Workload& w = workload_;
    using enum Act::Kind;
    const std::pair<Act::Kind, std::uint32_t> weights[] = {
        {write, w.write},     {write, w.fua},           {flush, w.flush},
        {discard, w.discard}, {zero, w.zero},           {read, w.read},
        {create, w.create},   {snapshot, w.snapshot},   {remove, w.remove},
        {trim, w.trim},       {grow_data, w.grow_data}, {grow_metadata, w.grow_metadata},
        {commit, w.commit},   {hold, w.hold},           {release, w.release}};
    std::uint64_t total = 0;
    for (const auto& [kind, weight] : weights) total += weight;
    std::uint64_t at = random_.below(total);
    std::size_t i = 0;
    while (at >= weights[i].second) at -= weights[i++].second;
    Act act{.kind = weights[i].first, .who = static_cast<std::uint32_t>(random_.below(1 << 16))};
    act.fua = i == 1 || (act.kind == zero && random_.one_in(4));
    act.flag = act.kind == zero && random_.one_in(3);
    if (act.kind == trim) act.at = random_.below(w.volume_blocks);
    else if (act.kind == grow_data) act.n = 1 + random_.below(6);
    else if (act.kind == grow_metadata) act.n = 1 + random_.below(40);
    else if (act.kind == commit && random_.one_in(2)) act.kind = tick, act.n = random_.below(1500);
    else {
        act.at = random_.below(w.volume_blocks * data_block.n);
        act.n = 1 + random_.below(random_.one_in(3) ? 16 : w.long_writes ? 400 : 128);
        if (random_.one_in(4)) {
            act.at -= act.at % data_block.n;
            act.n = data_block.n * (1 + random_.below(2));
        }
    }
    act.turns = static_cast<std::uint32_t>(random_.below(4));
    return act;
}

void SimRun::perform(const Act& act) {
    acts_.push_back(act);
    switch (act.kind) {
        case Act::Kind::write:
        case Act::Kind::flush:
        case Act::Kind::discard:
        case Act::Kind::zero:
        case Act::Kind::read: submit_io(act); break;
        case Act::Kind::create: create(); break;
        case Act::Kind::snapshot: snapshot(act); break;
        case Act::Kind::remove: remove(act); break;
        case Act::Kind::trim: trim(act); break;
        case Act::Kind::grow_data: grow_data(act); break;
        case Act::Kind::grow_metadata: grow_metadata(act); break;
        case Act::Kind::commit: pool_->commit_if_changed(); break;
        case Act::Kind::hold:
            if (!held_ && apply_ == nullptr)
                apply(ReserveMetadataSnapshot{},
                      [this](bool ok, std::uint64_t, std::uint64_t) { held_ = ok; });
            break;
        case Act::Kind::release:
            if (held_ && apply_ == nullptr)
                apply(ReleaseMetadataSnapshot{},
                      [this](bool ok, std::uint64_t, std::uint64_t) { held_ = !ok; });
            break;
        case Act::Kind::tick: pool_->tick(clock_ += std::chrono::milliseconds(act.n)); break;
        case Act::Kind::settle: settle(act.flag); break;
    }
    for (std::uint32_t t = 0; t < act.turns; ++t) pump();
}

void SimRun::settle(bool flushes) {
    drain();
    if (flushes) {
        for (std::uint32_t i = 0; i < lives_.size(); ++i)
            submit_io({.kind = Act::Kind::flush, .who = i});
        drain();
    }
    if (auto settled = pool_->settle(); !settled && !errors_expected_)
        fail("settle: " + settled.error().text);
}

// What a change makes of its sectors.
void SimRun::begin_change(Operation& op, std::uint64_t at, std::uint64_t n) {
    VolumeOracle& oracle = *op.life->oracle;
    if (op.io.kind == IoKind::write) {
        const Generation generation = next_generation_++;
        for (std::uint64_t s = 0; s < n; ++s)
            fill_stamp(std::span(op.buffer).subspan(s * sector_bytes, sector_bytes), at + s,
                       generation);
        op.change = oracle.begin(at, n, generation, op.began);
    } else if (op.io.kind == IoKind::write_zeroes) {
        op.change = oracle.begin(at, n, 0, op.began);
    } else if (op.io.kind == IoKind::discard) {
        // Whole blocks become zeroes, the edges stay.
        const std::uint64_t first = divide_up(at, data_block.n) * data_block.n;
        const std::uint64_t last = (at + n) / data_block.n * data_block.n;
        op.change = oracle.begin(first, last > first ? last - first : 0, 0, op.began);
    } else {
        return;
    }
    op.changes = true;
}

void SimRun::submit_io(const Act& act) {
    Life* life = pick(act.who, false);
    if (life == nullptr || operations_.size() >= workload_.most_in_flight) return;
    static const std::map<Act::Kind, IoKind> kinds{{Act::Kind::write, IoKind::write},
                                                   {Act::Kind::flush, IoKind::flush},
                                                   {Act::Kind::discard, IoKind::discard},
                                                   {Act::Kind::zero, IoKind::write_zeroes},
                                                   {Act::Kind::read, IoKind::read}};
    auto op = std::make_unique<Operation>();
    op->run = this;
    op->life = life;
    op->io.kind = kinds.at(act.kind);
    op->io.fua = act.fua;
    op->io.volume = life->open;
    op->io.keep_allocated = act.flag;
    const std::uint64_t all = life->oracle->size().n;
    const std::uint64_t at = act.at % all;
    const std::uint64_t n = std::min(act.n, all - at);
    if (op->io.kind != IoKind::flush) {
        op->io.offset = to_bytes(Sector(at));
        op->io.length = to_bytes(Sectors(n));
    }
    op->began = trace_.note();
    if (op->io.kind == IoKind::read || op->io.kind == IoKind::write) {
        op->buffer.resize(op->io.length.n);
        op->io.buffer = op->buffer.data();
    }
    begin_change(*op, at, n);
    op->io.owner = op.get();
    op->io.done = [](IoRequest& r) {
        static_cast<Operation*>(r.owner)->run->io_done(*static_cast<Operation*>(r.owner));
    };
    ++life->in_flight;
    const std::uint64_t way = act.way <= lanes_.size() ? act.way
                              : lanes_.empty()         ? 0
                                                       : moods_.below(lanes_.size() + 1);
    if (way > 0) lanes_[way - 1]->submit(op->io);
    else pool_->submit(op->io);
    operations_.push_back(std::move(op));
}

void SimRun::io_done(Operation& op) {
    const std::uint64_t now = trace_.note();
    --op.life->in_flight;
    op.finished = true;
    if (!accepted(op.io.outcome)) {
        const Error& error = op.io.outcome.error();
        if (error.code == Errc::out_of_space) ++out_of_space_;
        else if (!errors_expected_)
            fail(fmt::format("seq {}: request of kind {} failed: {}", now, int(op.io.kind),
                             error.text));
        return;
    }
    // A pool that may not change takes a discard and does nothing.
    const bool ignored = op.io.kind == IoKind::discard && pool_->mode() >= PoolMode::read_only;
    const bool lasts = op.io.fua || (workload_.outlived && must_last(op.io.kind));
    if (op.changes && !ignored) op.life->oracle->ended(op.change, now, lasts);
    if (op.io.kind == IoKind::flush) {
        op.life->oracle->flushed(op.began, now);
        ++flushes_answered_;
    }
    if (op.io.kind == IoKind::read) judge_read(op, now);
}

void SimRun::judge_read(const Operation& op, std::uint64_t now) {
    for (std::uint64_t s = 0; s < op.io.length.n / sector_bytes; ++s) {
        const std::uint64_t at = op.io.offset.n / sector_bytes + s;
        const auto stamp = read_stamp(
            std::span<const std::byte>(op.buffer).subspan(s * sector_bytes, sector_bytes), at);
        if (!stamp)
            return fail(fmt::format("volume {} sector {} reads as bytes that nobody wrote there",
                                    op.life->id, at));
        // A pool that dropped its last transactions reads as it does after a power cut.
        const bool dropped = errors_expected_ && op.life->oracle->may_survive(at, *stamp, now);
        if (!dropped && !op.life->oracle->may_read(at, *stamp, op.began, now)) {
            return fail(fmt::format(
                "volume {} sector {} reads as write {} at {}-{}, which is out of date:{}",
                op.life->id, at, *stamp, op.began, now, op.life->oracle->history(at)));
        }
    }
}

void SimRun::apply(PoolOperation operation,
                   std::function<void(bool, std::uint64_t, std::uint64_t)> then) {
    if (apply_ != nullptr) return;
    apply_ = std::make_unique<ApplyRequest>();
    apply_->operations = {operation};
    apply_->from = pool_->status().transaction_id;
    apply_->to = apply_->from.next();
    apply_->owner = this;
    apply_then_ = std::move(then);
    apply_began_ = trace_.note();
    apply_->done = [](ApplyRequest& r) {
        SimRun& self = *static_cast<SimRun*>(r.owner);
        const auto finished = std::move(self.apply_);
        const std::uint64_t now = self.trace_.note();
        const bool ok = finished->outcome.has_value();
        if (!ok && finished->outcome.error().code == Errc::out_of_space) ++self.out_of_space_;
        else if (!ok && !self.errors_expected_)
            self.fail("operation failed: " + finished->outcome.error().text);
        std::exchange(self.apply_then_, nullptr)(ok, self.apply_began_, now);
    };
    pool_->apply(*apply_);
}

void SimRun::create() {
    if (apply_ != nullptr ||
        lives_.size() - static_cast<std::size_t>(std::count_if(
                            lives_.begin(), lives_.end(),
                            [](const auto& l) { return l->remove_began != never; })) >=
            most_volumes)
        return;
    auto life = std::make_unique<Life>();
    life->id = ThinId::checked(next_id_++);
    life->oracle =
        std::make_unique<VolumeOracle>(data_block * workload_.volume_blocks, origin_contents());
    Life* l = life.get();
    lives_.push_back(std::move(life));
    apply(CreateThin{l->id}, [this, l](bool ok, std::uint64_t began, std::uint64_t now) {
        l->create_began = began;
        if (!ok) {
            l->remove_began = began;
            return;
        }
        l->create_ended = now;
        open_new(*l);
    });
    l->create_began = apply_began_;
}

void SimRun::snapshot(const Act& act) {
    Life* origin = pick(act.who, false);
    if (origin == nullptr || apply_ != nullptr) return;
    std::size_t alive = 0;
    for (auto& life : lives_) alive += life->remove_began == never ? 1 : 0;
    if (alive >= most_volumes) return;
    auto life = std::make_unique<Life>();
    life->id = ThinId::checked(next_id_++);
    // Until it is answered its history is not known: it is made then, for all times since.
    life->oracle = std::make_unique<VolumeOracle>(origin->oracle->size());
    Life* l = life.get();
    lives_.push_back(std::move(life));
    apply(CreateSnapshot{l->id, origin->id},
          [this, l, origin](bool ok, std::uint64_t began, std::uint64_t now) {
              *l->oracle = origin->oracle->snapshot(began, now);
              if (!ok) {  // it may have been made all the same
                  l->remove_began = began;
                  return;
              }
              l->create_ended = now;
              open_new(*l);
          });
    l->create_began = apply_began_;
}

void SimRun::remove(const Act& act) {
    Life* life = pick(act.who, true);
    if (life == nullptr || apply_ != nullptr || lives_.size() < 2) return;
    if (std::count_if(lives_.begin(), lives_.end(),
                      [](const auto& l) { return l->open != nullptr; }) < 2)
        return;
    pool_->close_volume(*std::exchange(life->open, nullptr));
    apply(RemoveThin{life->id}, [life](bool ok, std::uint64_t, std::uint64_t now) {
        if (ok) life->remove_ended = now;
    });
    life->remove_began = apply_began_;
}

void SimRun::trim(const Act& act) {
    Life* life = pick(act.who, false);
    if (life == nullptr || apply_ != nullptr) return;
    const std::uint64_t from = act.at % workload_.volume_blocks;
    const std::uint64_t sector = from * data_block.n;
    const std::uint64_t began = trace_.note();
    const std::size_t change =
        life->oracle->begin(sector, life->oracle->size().n - sector, 0, began);
    apply(TrimThin{life->id, VirtualBlock(from)},
          [life, change](bool ok, std::uint64_t, std::uint64_t now) {
              if (ok) life->oracle->ended(change, now, true);
          });
}

void SimRun::grow_data(const Act& act) {
    if (apply_ != nullptr || data_->size() > data_block * 200) return;
    data_->grow(data_->size() + data_block * act.n);
    apply(GrowData{DataBlocks(data_->size().n / data_block.n)},
          [](bool, std::uint64_t, std::uint64_t) {});
}

void SimRun::grow_metadata(const Act& act) {
    if (apply_ != nullptr || metadata_->size() > Sectors(8 * 500)) return;
    metadata_->grow(metadata_->size() + Sectors(8 * act.n));
    apply(GrowMetadata{to_metadata_blocks(metadata_->size())},
          [](bool, std::uint64_t, std::uint64_t) {});
}

std::vector<Generation> SimRun::origin_contents() const {
    return std::vector<Generation>(workload_.origin_sectors, origin_generation);
}

// --- judging -------------------------------------------------------------------------------------

Result<std::vector<std::byte>> SimRun::read_all(Pool& pool, const Life& life) {
    Volume* volume = TRY(open(pool, life, true));
    std::vector<std::byte> bytes(to_bytes(life.oracle->size()).n);
    IoRequest read;
    read.kind = IoKind::read;
    read.volume = volume;
    read.length = Bytes(bytes.size());
    read.buffer = bytes.data();
    const auto outcome = submit_now(pool, read);
    pool.close_volume(*volume);
    if (!outcome) return outcome.error();
    return bytes;
}

template <class Allowed>
void SimRun::verify_contents(Pool& pool, const Life& life, const std::string& when,
                             Allowed&& allowed) {
    const auto bytes = read_all(pool, life);
    if (!bytes)
        return fail(
            fmt::format("{}: volume {} does not read: {}", when, life.id, bytes.error().text));
    for (std::uint64_t s = 0; s < bytes->size() / sector_bytes; ++s) {
        const auto stamp = read_stamp(std::span(*bytes).subspan(s * sector_bytes, sector_bytes), s);
        if (stamp && allowed(s, *stamp)) continue;
        return fail(fmt::format(
            "{}: volume {} sector {} holds {}", when, life.id, s,
            stamp ? fmt::format("write {}, which it may not:{}", *stamp, life.oracle->history(s))
                  : "bytes that nobody wrote there"));
    }
}

void SimRun::verify_live() {
    drain();
    if (auto settled = pool_->settle(); !settled) return fail("settle: " + settled.error().text);
    auto report = check_metadata(*metadata_);
    if (!report) return fail(report.error().text);
    for (const auto& finding : report->findings) fail("recount: " + finding.text);
    const std::uint64_t now = trace_.note();
    for (const auto& life : lives_) {
        if (life->open == nullptr) continue;
        verify_contents(*pool_, *life, "live", [&](std::uint64_t s, Generation g) {
            return life->oracle->may_read(s, g, now, now);
        });
    }
}

void SimRun::verify_new_volume(Pool& pool, const std::string& when) {
    Life life;
    life.id = ThinId::checked(ThinId::max);
    life.oracle = std::make_unique<VolumeOracle>(data_block * 6, origin_contents());
    const TransactionId id = pool.status().transaction_id;
    if (auto made = apply_now(pool, {CreateThin{life.id}}, id, id.next()); !made) {
        if (made.error().code != Errc::out_of_space)
            fail(when + ": new volume: " + made.error().text);
        return;
    }
    Volume* volume = *open(pool, life, false);
    std::vector<std::byte> sector(sector_bytes);
    for (std::uint64_t block = 0; block < 6; ++block) {
        const std::uint64_t at = block * data_block.n + moods_.below(data_block.n);
        const std::size_t change = life.oracle->begin(at, 1, never - block, 0);
        fill_stamp(sector, at, never - block);
        IoRequest write;
        write.kind = IoKind::write;
        write.volume = volume;
        write.offset = to_bytes(Sector(at));
        write.length = Bytes(sector_bytes);
        write.buffer = sector.data();
        if (submit_now(pool, write)) life.oracle->ended(change, 1, false);
    }
    pool.close_volume(*volume);
    verify_contents(pool, life, when + ", in use again", [&](std::uint64_t s, Generation g) {
        return life.oracle->may_read(s, g, 2, 3);
    });
}

void SimRun::verify_pool(Pool& pool, std::uint64_t cut, const std::string& when) {
    const auto ids = pool.volume_ids();
    if (!ids) return fail(when + ": " + ids.error().text);
    std::size_t found = workload_.ballast;
    for (const auto& life : lives_) {
        const bool there = std::find(ids->begin(), ids->end(), life->id) != ids->end();
        found += there ? 1 : 0;
        if (!there && life->create_ended <= cut && life->remove_began > cut)
            fail(fmt::format("{}: volume {} is gone", when, life->id));
        if (there && life->remove_ended <= cut)
            fail(fmt::format("{}: removed volume {} is back", when, life->id));
        if (there && life->create_began > cut)
            fail(fmt::format("{}: volume {} is there before its time", when, life->id));
        if (!there) continue;
        verify_contents(pool, *life, when, [&](std::uint64_t s, Generation g) {
            return life->oracle->may_survive(s, g, cut);
        });
    }
    if (found != ids->size())
        fail(fmt::format("{}: {} volumes, {} of them known", when, ids->size(), found));
}

void SimRun::look_at_cut(CrashImages::Images& images, std::uint64_t cut) {
    MemoryQueue md(Sectors(0));
    MemoryQueue data(Sectors(0));
    md.bytes().swap(images[0]);
    data.bytes().swap(images[1]);
    judge_devices(md, data, cut, false);
    md.bytes().swap(images[0]);
    data.bytes().swap(images[1]);
}

void SimRun::verify_cut(CrashImages::Images images, std::uint64_t cut, bool go_on) {
    MemoryQueue md(Sectors(0));
    MemoryQueue data(Sectors(0));
    md.bytes() = std::move(images[0]);
    data.bytes() = std::move(images[1]);
    // A device that grew has its size even where nothing was written yet.
    if (md.size() < metadata_->size()) md.grow(metadata_->size());
    if (data.size() < data_->size()) data.grow(data_->size());
    judge_devices(md, data, cut, go_on);
}

void SimRun::judge_devices(MemoryQueue& md, MemoryQueue& data, std::uint64_t cut, bool go_on) {
    const std::string when = fmt::format("power cut at {}", cut);
    auto report = check_metadata(md);
    if (!report) return fail(when + ": " + report.error().text);
    for (const auto& finding : report->findings) fail(when + ": recount: " + finding.text);
    PoolOptions options = options_of(workload_);
    options.features.error_if_no_space = true;
    auto pool = Pool::open(md, data, options);
    if (!pool) return fail(when + ": open: " + pool.error().text);
    verify_pool(**pool, cut, when);
    if (go_on && failures_.empty()) verify_new_volume(**pool, when);
}

std::string text_of(const std::vector<Act>& acts) {
    static constexpr const char* names[Act::kinds] = {
        "write", "flush",     "discard",       "zero",   "read", "create",  "snapshot", "remove",
        "trim",  "grow data", "grow metadata", "commit", "hold", "release", "tick",     "settle"};
    std::string text;
    for (const Act& act : acts) {
        const auto kind = static_cast<std::size_t>(act.kind);
        text += text.empty() ? "" : "; ";
        text += names[kind];
        if (act.kind <= Act::Kind::read && act.kind != Act::Kind::flush)
            text += fmt::format(" {}+{}", act.at, act.n);
        if (act.kind <= Act::Kind::trim) text += fmt::format(" of #{}", act.who);
        if (act.kind == Act::Kind::trim) text += fmt::format(" from {}", act.at);
        if (act.fua) text += " fua";
        if (act.flag) text += act.kind == Act::Kind::settle ? " flushed" : " kept";
        if (act.turns > 0) text += fmt::format(" ({})", act.turns);
    }
    return text;
}

}  // namespace thinvol
