#include "engine/lane.h"

#include <algorithm>
#include <cstring>

#include "engine/base/assert.h"
#include "engine/mapping_cache.h"

namespace thinvol {
namespace {

constexpr std::size_t parts_per_slab = 64;

}  // namespace

struct Lane::Part {
    Part* link = nullptr;
    Lane* lane = nullptr;
    IoRequest* request = nullptr;
    std::uint64_t epoch = 0;
    Request io;
    iovec data{};
};

struct Lane::Slab {
    std::array<Part, parts_per_slab> parts;
};

Lane::Lane(Lanes& lanes, BlockQueue& data, Sectors data_block_size, std::function<void()> wake)
    : lanes_(lanes),
      data_(data),
      block_bytes_(to_bytes(data_block_size)),
      granule_(to_bytes(data.granule())),
      wake_(std::move(wake)),
      number_(lanes.join()) {}

Lane::~Lane() {
    ASSERT(under_way_.empty());
    lanes_.leave(number_);
}

void Lane::submit(IoRequest& request) {
    request.outcome = {};
    request.parts = 0;
    if (try_here(request)) return;
    request.lane = this;
    lanes_.hand_over(request);
}

bool Lane::try_here(IoRequest& request) {
    const bool writes = request.kind == IoKind::write;
    if (!(writes || request.kind == IoKind::read) || request.fua || request.to_block_end ||
        (request.offset.n | request.length.n) % granule_.n != 0 || request.length == Bytes(0))
        return false;
    Volume& volume = *request.volume;
    const std::uint64_t size = volume.lanes.size.load(std::memory_order_acquire);
    if (request.length.n > size || request.offset.n > size - request.length.n) return false;
    enter();
    const std::uint64_t epoch = under_way_.back().epoch;
    const bool may = lanes_.may_begin();
    if (may && (!writes || lanes_.begin_change(number_, volume))) {
        // (C12) What it found is durable, or was seen to be unsettled.
        if (look_up(request) &&
            !(writes && volume.lanes.unsettled.load(std::memory_order_seq_cst))) {
            send(request);
            return true;
        }
        if (writes) lanes_.end_change(number_, volume);
    }
    leave(epoch);
    return false;
}

// Finds where all of the request lies; false: the pool's thread has to.
bool Lane::look_up(IoRequest& request) {
    runs_.clear();
    const Volume& volume = *request.volume;
    const bool reads = request.kind == IoKind::read;
    const std::uint32_t shared_before = volume.lanes.snapshot_time.load(std::memory_order_relaxed);
    const std::uint64_t end = request.offset.n + request.length.n;
    for (std::uint64_t pos = request.offset.n; pos < end;) {
        const std::uint64_t from = pos % block_bytes_.n;
        const std::uint64_t length = std::min(block_bytes_.n - from, end - pos);
        std::byte* buffer = request.buffer + (pos - request.offset.n);
        const auto found = lanes_.cache().find(volume.id, VirtualBlock(pos / block_bytes_.n));
        switch (found.state) {
            case MappingCache::Known::State::unknown: return false;
            case MappingCache::Known::State::unmapped:
                if (!reads || volume.external_origin != nullptr) return false;
                runs_.push_back({hole, length, buffer});
                break;
            case MappingCache::Known::State::mapped:
                if (!reads && found.mapping.time.n() < shared_before) return false;
                if (!add(found.mapping.block.n * block_bytes_.n + from, length, buffer))
                    return false;
                break;
        }
        pos += length;
    }
    return true;
}

// False: not on these queues, which are behind those of the pool's thread.
bool Lane::add(std::uint64_t data_at, std::uint64_t length, std::byte* buffer) {
    if (data_at + length > to_bytes(data_.size()).n) return false;
    if (!runs_.empty() && runs_.back().data_at != hole &&
        runs_.back().data_at + runs_.back().length == data_at)
        runs_.back().length += length;
    else runs_.push_back({data_at, length, buffer});
    return true;
}

void Lane::tell(IoRequest& request, const Run& run) {
    const bool is_hole = run.data_at == hole;
    if (request.extents == nullptr) {
        if (is_hole) std::memset(run.buffer, 0, run.length);
        return;
    }
    add_extent(*request.extents, run.length, is_hole ? Backing::none : Backing::exclusive);
}

void Lane::send(IoRequest& request) {
    request.parts = 1;  // held while parts are made, so that it cannot end under us
    const std::uint64_t epoch = under_way_.back().epoch;
    for (const Run& run : runs_) {
        if (request.kind == IoKind::read) tell(request, run);
        if (run.data_at == hole) continue;
        ++request.parts;
        Part& part = new_part();
        part.request = &request;
        part.epoch = epoch;
        part.data = {run.buffer, run.length};
        part.io.op = request.kind == IoKind::read ? Op::read : Op::write;
        part.io.at = to_sector(ByteOffset(run.data_at));
        part.io.length = to_sectors(Bytes(run.length));
        part.io.data = {&part.data, 1};
        if (data_.submit(part.io)) ended_.push(part);
        else ++in_flight_;
    }
    if (--request.parts == 0) finish(request, epoch);
}

Lane::Part& Lane::new_part() {
    if (free_parts_ == nullptr) {
        slabs_.push_back(std::make_unique<Slab>());
        for (Part& part : slabs_.back()->parts) {
            part.lane = this;
            part.io.owner = &part;
            part.io.done = [](Request& r) {
                Part& ended = *static_cast<Part*>(r.owner);
                --ended.lane->in_flight_;
                ended.lane->ended_.push(ended);
            };
            part.link = std::exchange(free_parts_, &part);
        }
    }
    Part& part = *free_parts_;
    free_parts_ = part.link;
    part.link = nullptr;
    return part;
}

void Lane::end(Part& part) {
    IoRequest& request = *part.request;
    if (!part.io.outcome && request.outcome) request.outcome = std::move(part.io.outcome);
    const std::uint64_t epoch = part.epoch;
    part.link = std::exchange(free_parts_, &part);
    if (--request.parts == 0) finish(request, epoch);
}

void Lane::finish(IoRequest& request, std::uint64_t epoch) {
    if (request.kind == IoKind::write) lanes_.end_change(number_, *request.volume);
    leave(epoch);
    finished_.push(request);
}

void Lane::enter() {
    const std::uint64_t epoch = lanes_.epoch();
    if (under_way_.empty()) lanes_.enter(number_, epoch);
    if (under_way_.empty() || under_way_.back().epoch != epoch) under_way_.push_back({epoch, 0});
    ++under_way_.back().n;
}

void Lane::leave(std::uint64_t epoch) {
    const auto at = std::find_if(under_way_.begin(), under_way_.end(),
                                 [&](const Count& count) { return count.epoch == epoch; });
    ASSERT(at != under_way_.end() && at->n > 0);
    --at->n;
    const std::uint64_t oldest = under_way_.front().epoch;
    while (!under_way_.empty() && under_way_.front().n == 0) under_way_.pop_front();
    const std::uint64_t now = under_way_.empty() ? Lanes::idle : under_way_.front().epoch;
    if (now != oldest) lanes_.set_oldest(number_, now);
}

bool Lane::run_once() {
    bool progress = false;
    Fifo<IoRequest> given_back = given_back_.take();
    while (!given_back.empty()) {
        progress = true;
        IoRequest& request = given_back.pop();
        request.lane = nullptr;
        request.done(request);
    }
    if (in_flight_ > 0) data_.poll(false);
    Fifo<Part> ended = ended_.take();
    while (!ended.empty()) end(ended.pop());
    Fifo<IoRequest> finished = finished_.take();
    while (!finished.empty()) {
        progress = true;
        IoRequest& request = finished.pop();
        request.done(request);
    }
    return progress;
}

}  // namespace thinvol
