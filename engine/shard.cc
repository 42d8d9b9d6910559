#include "engine/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "engine/lane.h"
#include "engine/shard_part.h"

namespace thinvol {

namespace {

constexpr std::uint64_t copy_buffer_max = 1 << 20;
constexpr std::uint64_t copy_memory = 32 << 20;
constexpr std::uint64_t unmap_step_mappings = 1000;
constexpr std::size_t parts_per_slab = 128;

Error not_in_the_pool(const Volume& volume, const Pool& pool) {
    return {Errc::io_error,
            fmt::format("thin id {} is not in the pool: {}", volume.id, pool.status().trouble)};
}

}  // namespace

struct Shard::Slab {
    std::array<Part, parts_per_slab> parts;
};

Shard::Shard(Pool& pool, BlockQueue& data, Sectors data_block_size)
    : pool_(pool),
      data_(data),
      block_bytes_(to_bytes(data_block_size)),
      granule_(to_bytes(data.granule())),
      chunk_bytes_(std::min(block_bytes_.n, copy_buffer_max)),
      known_zero_(data, data_block_size) {
    ASSERT(granule_.n <= chunk_bytes_.n);
}

Shard::~Shard() {
    for (std::byte* buffer : free_buffers_)
        ::operator delete(buffer, std::align_val_t(metadata_block_bytes));
}

// --- requests ------------------------------------------------------------------------------------

void Shard::submit(IoRequest& request) {
    request.outcome = {};
    request.parts = 0;
    request.parked = 0;
    request.inside_gate = false;
    ++request.volume->requests;
    if (pool_.stalled()) arrived_.push(request);
    else admit(request);
}

void Shard::admit(IoRequest& request) {
    Volume& volume = *request.volume;
    if (volume.device == nullptr) return fail_request(request, not_in_the_pool(volume, pool_));
    if (request.kind == IoKind::flush) return begin_flush(request);
    const std::uint64_t end =
        request.to_block_end ? round_up(volume.size.n, block_bytes_) : volume.size.n;
    if (request.length.n > end || request.offset.n > end - request.length.n) {
        return fail_request(request,
                            Error(Errc::invalid_argument,
                                  fmt::format("{} bytes at {} are outside the volume of {}",
                                              request.length, request.offset, volume.size)));
    }
    if (request.length == Bytes(0)) return finish(request);
    if (request.kind == IoKind::read) return begin_read(request);
    if (request.kind == IoKind::status) return begin_status(request);
    if (volume.read_only)
        return fail_request(request, Error(Errc::read_only, "the volume is read-only"));
    const bool whole_granules =
        request.offset.n % granule_.n == 0 && request.length.n % granule_.n == 0;
    request.exclusive = !whole_granules && request.kind != IoKind::discard;
    if (!volume.gate.waiting.empty() || !enter_gate(request))
        return volume.gate.waiting.push(request);
    begin(request);
}

// An exclusive request reads, changes and writes what is smaller than the device's granule: alone,
// so that it does not write back an older state of its neighbours' bytes.
bool Shard::enter_gate(IoRequest& request) {
    Gate& gate = request.volume->gate;
    if (gate.closed > 0 || (gate.exclusive && gate.in_flight > 0)) return false;
    if (request.exclusive) {
        if (!std::exchange(gate.exclusive, true)) Pool::show_to_lanes(*request.volume);
        if (gate.in_flight > 0) return false;
        if (!pool_.lanes().drained(*request.volume)) {
            resume_.push_back(request.volume);  // the lane that leaves last wakes this thread
            return false;
        }
    }
    ++gate.in_flight;
    request.inside_gate = true;
    return true;
}

void Shard::leave_gate(IoRequest& request) {
    if (!std::exchange(request.inside_gate, false)) return;
    Gate& gate = request.volume->gate;
    ASSERT(gate.in_flight > 0);
    --gate.in_flight;
    if (request.exclusive) {
        gate.exclusive = false;
        Pool::show_to_lanes(*request.volume);
    }
    if (!gate.waiting.empty()) resume_.push_back(request.volume);
}

void Shard::close_gate(Volume& volume) {
    ++volume.gate.closed;
    Pool::show_to_lanes(volume);
}

bool Shard::drained(const Volume& volume) {
    return volume.gate.in_flight == 0 && pool_.lanes().drained(volume);
}

void Shard::open_gate(Volume& volume) {
    ASSERT(volume.gate.closed > 0);
    --volume.gate.closed;
    Pool::show_to_lanes(volume);
    if (!volume.gate.waiting.empty()) resume_.push_back(&volume);
}

// From run_once() only: a request that ends on the spot lets the next one in, and so on.
bool Shard::resume_waiting() {
    bool progress = false;
    const std::vector<Volume*> volumes = std::exchange(resume_, {});
    for (Volume* volume : volumes) {
        Fifo<IoRequest>& waiting = volume->gate.waiting;
        while (!waiting.empty() && enter_gate(*waiting.front())) {
            begin(waiting.pop());
            progress = true;
        }
    }
    if (!at_gate_.empty()) progress = let_in_parked() || progress;
    return progress;
}

void Shard::begin(IoRequest& request) {
    // The pool may have dropped its last transactions while the request waited at the gate.
    if (request.volume->device == nullptr)
        return fail_request(request, not_in_the_pool(*request.volume, pool_));
    request.parts = 1;  // held while parts are made, so that the request cannot end under us
    if (request.kind == IoKind::write) begin_write(request);
    else begin_unmap(request);
    send_whole();
    if (--request.parts == 0) finish(request);
    else if (request.parked == request.parts) leave_gate(request);
}

void Shard::begin_read(IoRequest& request) {
    request.parts = 1;
    const bool tells = request.extents != nullptr;
    for_blocks(request, [&](VirtualBlock at, std::uint64_t from, std::uint64_t to,
                            std::byte* buffer, Run& run) {
        const auto found = pool_.metadata().lookup(*request.volume->device, at);
        Backing backing = Backing::exclusive;
        if (!found) {
            if (request.outcome) request.outcome = found.error();
        } else if (*found) {
            extend(request, run, (*found)->block.n * block_bytes_.n + from, to - from, buffer);
        } else if (shows_origin(*request.volume, at.n * block_bytes_.n + from)) {
            begin_origin_read(request, at, from, to);
        } else {
            backing = Backing::none;
            if (!tells) std::memset(buffer, 0, to - from);
        }
        if (tells) add_extent(*request.extents, to - from, backing);
    });
    if (--request.parts == 0) finish(request);
}

// Cuts [offset, offset + length) at the edges of blocks.
template <class Body>
void Shard::for_blocks(IoRequest& request, Body&& body) {
    Run run;
    const std::uint64_t end = request.offset.n + request.length.n;
    for (std::uint64_t pos = request.offset.n; pos < end;) {
        const std::uint64_t from = pos % block_bytes_.n;
        const std::uint64_t to = std::min(block_bytes_.n, from + (end - pos));
        std::byte* buffer =
            request.buffer == nullptr ? nullptr : request.buffer + (pos - request.offset.n);
        body(VirtualBlock(pos / block_bytes_.n), from, to, buffer, run);
        pos += to - from;
    }
    submit_run(request, run);
}

// Joins a stretch to the run, or sends the run off and begins another.
void Shard::extend(IoRequest& request, Run& run, std::uint64_t data_at, std::uint64_t length,
                   std::byte* buffer) {
    const bool joins = run.length > 0 && run.data_at + run.length == data_at &&
                       (buffer == nullptr || run.buffer + run.length == buffer);
    if (joins) {
        run.length += length;
        return;
    }
    submit_run(request, run);
    run = {data_at, length, buffer};
}

void Shard::begin_write(IoRequest& request) {
    for_blocks(request, [&](VirtualBlock at, std::uint64_t from, std::uint64_t to,
                            std::byte* buffer, Run& run) {
        const auto found = pool_.metadata().lookup(*request.volume->device, at);
        if (!found) {
            if (request.outcome) request.outcome = found.error();
        } else if (*found && !(*found)->shared) {
            extend(request, run, (*found)->block.n * block_bytes_.n + from, to - from, buffer);
        } else {
            begin_block(request, at, from, to);
        }
    });
}

// Discards and zeroes: whole blocks are unmapped, where that is allowed; the edges of a discard
// stay.
void Shard::begin_unmap(IoRequest& request) {
    const std::uint64_t end = request.offset.n + request.length.n;
    const std::uint64_t first = divide_up(request.offset.n, block_bytes_.n);
    const std::uint64_t last = end / block_bytes_.n;
    const bool zero = request.kind == IoKind::write_zeroes;
    // What is unmapped shows the external origin: zeroes must be there.
    const bool writes = request.keep_allocated || request.volume->external_origin != nullptr;
    if (zero && request.fast_only && (writes || !zeroes_by_unmapping(request))) {
        request.outcome = Error(Errc::unsupported, "zeroes would have to be written");
        return;
    }
    if (zero && writes) return begin_write(request);
    if (zero) {
        const std::uint64_t head = std::min(first * block_bytes_.n, end);
        if (head > request.offset.n) zero_edge(request, request.offset.n, head);
        if (end > std::max(head, last * block_bytes_.n))
            zero_edge(request, last * block_bytes_.n, end);
    }
    if (first >= last || (!zero && !takes_discards())) return;
    Part& part = new_part(request, &Shard::unmap_step);
    part.run.data_at = first;
    part.run.length = last - first;
    unmap_step(part);
}

// Where they are ignored, and where nothing may change, a discard is taken and does nothing.
bool Shard::takes_discards() const {
    return pool_.features().discards != Discards::ignore && pool_.may_provision();
}

void Shard::unmap_step(Part& part) {
    IoRequest& request = *part.request;
    if (auto allowed = pool_.may_provision(); !allowed) return end_part(part, std::move(allowed));
    const VirtualBlock end(part.run.data_at + part.run.length);
    // A block being copied would bring back what is unmapped now: first its write, then this.
    if (Part* cell = cell_within(*request.volume, VirtualBlock(part.run.data_at), end))
        return wait_for(*cell, part, &Shard::unmap_step);
    const auto next = pool_.metadata().unmap(
        *request.volume->device, VirtualBlock(part.run.data_at), end, unmap_step_mappings);
    if (!next && next.error().code == Errc::out_of_space && pool_.want_commit())
        return waiting_changes_.push(part);
    if (!next) {
        if (next.error().code != Errc::out_of_space) pool_.fail(next.error());
        return end_part(part, next.error());
    }
    if (*next == end) return end_part(part, {});
    part.run.length = end.n - next->n;
    part.run.data_at = next->n;
    ready_.push(part);
}

void Shard::begin_flush(IoRequest& request) {
    if (request.volume->device == nullptr) {
        request.outcome = Error(Errc::io_error, pool_.status().trouble);
        return finished_.push(request);
    }
    await_durable(request, pool_.flusher().request());
}

// C3: a data flush that started after the request came, and the commit of the volume's last change.
void Shard::await_durable(IoRequest& request, std::uint64_t ticket) {
    request.flush_ticket = ticket;
    request.flush_commit = request.volume->device->last_change;
    flushes_.push(request);
}

bool Shard::run_flushes() {
    bool progress = false;
    Fifo<IoRequest> waiting = flushes_.take();
    while (!waiting.empty()) {
        IoRequest& request = waiting.pop();
        const DataFlusher& flusher = pool_.flusher();
        if (request.volume->lost_changes || flusher.failed()) {
            request.outcome = Error(
                Errc::io_error, flusher.failed()
                                    ? flusher.error().text
                                    : "changes to the volume were lost: " + pool_.status().trouble);
        } else if (request.flush_commit > pool_.metadata().durable_commit()) {
            if (request.flush_commit == pool_.metadata().open_commit()) pool_.want_commit();
            flushes_.push(request);
            continue;
        } else if (!flusher.done(request.flush_ticket)) {
            flushes_.push(request);
            continue;
        }
        finished_.push(request);
        progress = true;
    }
    return progress;
}

void Shard::fail_request(IoRequest& request, Error error) {
    request.outcome = std::move(error);
    finish(request);
}

// All parts have ended. What must be durable goes on as a flush does. C12: where only what maps it
// must be, as one without a flush of the data.
void Shard::finish(IoRequest& request) {
    leave_gate(request);
    const Volume& volume = *request.volume;
    if (volume.outlived && !request.fua && must_last(request.kind) && request.outcome &&
        volume.device != nullptr &&
        volume.device->last_change > pool_.metadata().durable_commit()) {
        return await_durable(request, 0);
    }
    if (request.fua && changes_volume(request.kind) && request.outcome && request.length > Bytes(0))
        return begin_flush(request);
    finished_.push(request);
}

void Shard::fail_pending(const Error& error) {
    Fifo<IoRequest> pending = flushes_.take();
    while (!pending.empty()) {
        IoRequest& request = pending.pop();
        request.outcome = error;
        finished_.push(request);
    }
    retry_changes();
    retry_parked();
}

bool Shard::run_once() {
    Fifo<IoRequest> arrived = arrived_.take();
    bool progress = !arrived.empty();
    while (!arrived.empty()) admit(arrived.pop());
    progress = resume_waiting() || progress;
    Fifo<Part> ready = ready_.take();
    while (!ready.empty()) {
        if (pool_.stalled()) {
            send_whole();
            ready.append(ready_.take());
            ready_ = ready;
            return true;
        }
        progress = true;
        Part& part = ready.pop();
        (this->*part.step)(part);
    }
    send_whole();
    if (!pool_.stalled()) progress = run_flushes() || progress;
    Fifo<IoRequest> finished = finished_.take();
    while (!finished.empty()) {
        progress = true;
        IoRequest& request = finished.pop();
        --request.volume->requests;
        if (request.lane != nullptr) request.lane->give_back(request);
        else request.done(request);
    }
    return progress;
}

// --- parts ---------------------------------------------------------------------------------------

Shard::Part& Shard::new_part(IoRequest& request, Step first) {
    if (free_parts_ == nullptr) {
        slabs_.push_back(std::make_unique<Slab>());
        for (Part& part : slabs_.back()->parts) {
            part.link = free_parts_;
            free_parts_ = &part;
        }
    }
    Part& part = *free_parts_;
    free_parts_ = part.link;
    part.link = nullptr;
    part.shard = this;
    part.request = &request;
    part.step = first;  // which whoever lets it wait before that may count on
    part.generation = pool_.generation();
    ++request.parts;
    return part;
}

void Shard::end_part(Part& part, Result<> outcome) {
    ASSERT(!part.is_cell);
    if (std::exchange(part.in_epoch, false)) epochs_.leave(part.epoch);
    if (part.buffer != nullptr) give_buffer(std::exchange(part.buffer, nullptr));
    IoRequest& request = *part.request;
    if (!outcome && request.outcome) request.outcome = std::move(outcome);
    part.link = free_parts_;
    free_parts_ = &part;
    if (--request.parts == 0) finish(request);
    else if (request.parked == request.parts) leave_gate(request);
}

// C6: from the lookup that found its data block to its end, a part is counted.
void Shard::enter_epoch(Part& part) {
    ASSERT(!part.in_epoch);
    part.epoch = epochs_.enter();
    part.in_epoch = true;
}

// `part.io.data` was set where there is data.
void Shard::send(Part& part, Op op, std::uint64_t at, std::uint64_t length, Step then) {
    send_to(data_, part, op, at, length, then);
}

void Shard::send_to(BlockQueue& queue, Part& part, Op op, std::uint64_t at, std::uint64_t length,
                    Step then) {
    part.step = then;
    part.io.op = op;
    part.io.fua = false;
    part.io.at = to_sector(ByteOffset(at));
    part.io.length = to_sectors(Bytes(length));
    part.io.owner = &part;
    part.io.done = [](Request& r) {
        Part& p = *static_cast<Part*>(r.owner);
        p.shard->ready_.push(p);
    };
    if (queue.submit(part.io)) ready_.push(part);
}

void Shard::submit_run(IoRequest& request, const Run& run) {
    if (run.length == 0) return;
    const std::uint64_t end = run.data_at + run.length;
    const std::uint64_t aligned_begin = std::min(round_up(run.data_at, granule_), end);
    const std::uint64_t aligned_end = std::max(round_down(end, granule_), aligned_begin);
    const auto piece = [&](std::uint64_t a, std::uint64_t b) {
        return Run{a, b - a, run.buffer == nullptr ? nullptr : run.buffer + (a - run.data_at)};
    };
    if (aligned_begin > run.data_at) submit_granule(request, piece(run.data_at, aligned_begin));
    if (aligned_end > aligned_begin) submit_aligned(request, piece(aligned_begin, aligned_end));
    if (end > aligned_end) submit_granule(request, piece(aligned_end, end));
}

void Shard::submit_aligned(IoRequest& request, const Run& run) {
    Part& part = new_part(request, &Shard::run_ended);
    enter_epoch(part);
    part.vec[0] = slice(run.buffer, run.length);
    part.io.data = {part.vec.data(), 1};
    const Op op = request.kind == IoKind::read    ? Op::read
                  : request.kind == IoKind::write ? Op::write
                                                  : Op::write_zeroes;
    send(part, op, run.data_at, run.length, &Shard::run_ended);
}

void Shard::run_ended(Part& part) { end_part(part, std::move(part.io.outcome)); }

// Bytes that fill no granule: by way of a buffer that does.
void Shard::submit_granule(IoRequest& request, const Run& run) {
    Part& part = new_part(request, &Shard::read_granule);
    enter_epoch(part);
    part.run = run;
    part.buffer = take_buffer();
    if (part.buffer == nullptr) want_buffer_.push(part);
    else read_granule(part);
}

void Shard::read_granule(Part& part) {
    part.vec[0] = slice(part.buffer, granule_.n);
    part.io.data = {part.vec.data(), 1};
    send(part, Op::read, round_down(part.run.data_at, granule_), granule_.n,
         &Shard::granule_was_read);
}

void Shard::granule_was_read(Part& part) {
    if (!part.io.outcome) return run_ended(part);
    const Run& run = part.run;
    std::byte* inside = part.buffer + run.data_at % granule_.n;
    if (part.request->kind == IoKind::read) {
        std::memcpy(run.buffer, inside, run.length);
        return end_part(part, {});
    }
    if (run.buffer == nullptr) std::memset(inside, 0, run.length);
    else std::memcpy(inside, run.buffer, run.length);
    send(part, Op::write, round_down(run.data_at, granule_), granule_.n, &Shard::run_ended);
}

std::byte* Shard::take_buffer() {
    if (free_buffers_.empty()) {
        if (buffers_ * chunk_bytes_.n >= copy_memory) return nullptr;
        ++buffers_;
        return static_cast<std::byte*>(
            ::operator new(chunk_bytes_.n, std::align_val_t(metadata_block_bytes)));
    }
    std::byte* buffer = free_buffers_.back();
    free_buffers_.pop_back();
    return buffer;
}

void Shard::give_buffer(std::byte* buffer) {
    if (want_buffer_.empty()) return free_buffers_.push_back(buffer);
    Part& next = want_buffer_.pop();
    next.buffer = buffer;
    ready_.push(next);
}

}  // namespace thinvol
