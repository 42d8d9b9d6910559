// Shard: blocks that need a place: reserved, filled, mapped, or waiting for space.
#include <fmt/format.h>

#include <cstring>

#include "engine/shard_part.h"

namespace thinvol {
namespace {

constexpr std::uint64_t zero_area_bytes = 1 << 20;
// Never written; in .bss, so that it costs no memory.
alignas(metadata_block_bytes) std::byte zero_area[zero_area_bytes];

}  // namespace

// --- blocks that need a place --------------------------------------------------------------------

void Shard::begin_block(IoRequest& request, VirtualBlock at, std::uint64_t from, std::uint64_t to) {
    Part& part = new_part(request, &Shard::dispatch_block);
    part.at = at;
    part.from = from;
    part.to = to;
    part.holds_block = false;
    dispatch_block(part);
}

std::byte* Shard::payload(const Part& part) const {
    const IoRequest& request = *part.request;
    if (request.buffer == nullptr) return nullptr;
    return request.buffer + (part.at.n * block_bytes_.n + part.from - request.offset.n);
}

// Looks the block up, perhaps again after waiting: somebody else may have found it a place
// meanwhile.
void Shard::dispatch_block(Part& part) {
    IoRequest& request = *part.request;
    if (part.generation != pool_.generation()) return end_part(part, pool_.may_provision());
    if (auto allowed = pool_.may_provision(); !allowed) return end_part(part, std::move(allowed));
    if (Part* cell = cell_of(part)) return wait_for(*cell, part, &Shard::dispatch_block);
    const auto found = pool_.metadata().lookup(*request.volume->device, part.at);
    if (!found) return end_part(part, found.error());
    if (*found && !(*found)->shared) {
        submit_run(request, {(*found)->block.n * block_bytes_.n + part.from, part.to - part.from,
                             payload(part)});
        return end_part(part, {});
    }
    if (!*found && request.kind == IoKind::write_zeroes && !request.keep_allocated &&
        request.volume->external_origin == nullptr)
        return end_part(part, {});
    reserve_block(part, *found ? std::optional((*found)->block) : std::nullopt);
}

void Shard::reserve_block(Part& part, std::optional<DataBlock> old) {
    ThinMetadata& metadata = pool_.metadata();
    ThinDevice& device = *part.request->volume->device;
    if (auto within = pool_.within_bounds(*part.request->volume); !within)
        return end_part(part, std::move(within));
    auto outcome = metadata.room_for_provisioning();
    const bool room = outcome.has_value();
    bool comes_back =
        metadata.changed() || metadata.metadata().free() > metadata.metadata().allocatable();
    if (room) {
        if (!pool_.may_try_below()) return lacks_space(part, Error(Errc::out_of_space, ""));
        auto block = metadata.reserve();
        if (block) {
            part.block = *block;
            part.holds_block = true;
            if (device.bounded != nullptr) ++device.bounded->filling;
            part.old = old;
            part.filled = 0;
            part.generation = pool_.generation();
            enter_epoch(part);
            enter_cell(part);
            return start_fill(part);
        }
        outcome = block.error();
        comes_back = metadata.data().coming_back() > DataBlocks(0);
    }
    if (outcome.error().code != Errc::out_of_space) return end_part(part, std::move(outcome));
    if (comes_back) return park(part);  // blocks freed come back with the commit
    pool_.ran_out_of(room ? PoolMode::out_of_data_space : PoolMode::out_of_metadata_space,
                     outcome.error());
    lacks_space(part, outcome.error());
}

void Shard::lacks_space(Part& part, Error error) {
    if (pool_.waits_for_space() && part.request->waits_for_space) park(part);
    else end_part(part, std::move(error));
}

// C7: a request all of whose parts are parked is outside the gate, and a snapshot does not wait for
// it.
void Shard::park(Part& part) {
    pool_.want_commit();
    part.step = &Shard::dispatch_block;
    parked_.push(part);
    IoRequest& request = *part.request;
    if (++request.parked == request.parts) leave_gate(request);
}

void Shard::retry_parked() {
    at_gate_.append(parked_.take());
    let_in_parked();
}

bool Shard::let_in_parked() {
    bool progress = false;
    Fifo<Part> parked = at_gate_.take();
    while (!parked.empty()) {
        Part& part = parked.pop();
        IoRequest& request = *part.request;
        if (!request.inside_gate && !enter_gate(request)) {
            at_gate_.push(part);
            continue;
        }
        --request.parked;
        ready_.push(part);
        progress = true;
    }
    return progress;
}

void Shard::retry_changes() { ready_.append(waiting_changes_.take()); }

Shard::Part* Shard::cell_of(const Part& part) {
    Part* cell = cells_[cell_bucket(part)];
    while (cell != nullptr &&
           (cell->at != part.at || cell->request->volume != part.request->volume))
        cell = cell->next_cell;
    return cell;
}

Shard::Part* Shard::cell_within(const Volume& volume, VirtualBlock begin, VirtualBlock end) {
    if (open_cells_ == 0) return nullptr;
    for (Part* cell : cells_) {
        for (; cell != nullptr; cell = cell->next_cell) {
            if (cell->request->volume == &volume && cell->at >= begin && cell->at < end)
                return cell;
        }
    }
    return nullptr;
}

void Shard::wait_for(Part& cell, Part& part, Step then) {
    part.step = then;
    cell.waiters.push(part);
}

std::size_t Shard::cell_bucket(const Part& part) const {
    return (part.at.n * 0x9e3779b97f4a7c15ULL + part.request->volume->id.n()) >> 32 &
           (cell_buckets - 1);
}

void Shard::enter_cell(Part& part) {
    Part*& head = cells_[cell_bucket(part)];
    part.next_cell = head;
    part.is_cell = true;
    ++open_cells_;
    head = &part;
}

void Shard::leave_cell(Part& part) {
    Part** at = &cells_[cell_bucket(part)];
    while (*at != &part) at = &(*at)->next_cell;
    *at = part.next_cell;
    part.is_cell = false;
    --open_cells_;
    ready_.append(part.waiters.take());
}

void Shard::start_fill(Part& part) {
    if (part.from == 0 && part.to == block_bytes_.n) return fill_whole(part);
    const bool from_origin = shows_origin(*part.request->volume, part.at.n * block_bytes_.n);
    if (!part.old && !from_origin) return fill_with_zeroes(part);
    part.step = &Shard::copy_step;
    part.buffer = take_buffer();
    if (part.buffer == nullptr) want_buffer_.push(part);
    else copy_step(part);
}

// Sent with its neighbours, once those of the request are known.
void Shard::fill_whole(Part& part) {
    part.next_filled = nullptr;
    const bool joins = whole_last_ != nullptr && whole_last_->request == part.request &&
                       whole_last_->at + VirtualBlocks(1) == part.at &&
                       whole_last_->block + DataBlocks(1) == part.block;
    if (joins) {
        whole_last_->next_filled = &part;
    } else {
        send_whole();
        whole_first_ = &part;
    }
    whole_last_ = &part;
}

void Shard::send_whole() {
    if (whole_first_ == nullptr) return;
    Part& first = *std::exchange(whole_first_, nullptr);
    const Part& last = *std::exchange(whole_last_, nullptr);
    const std::uint64_t length = (last.block - first.block).n * block_bytes_.n + block_bytes_.n;
    std::byte* data = payload(first);
    first.vec[0] = slice(data, length);
    first.io.data = {first.vec.data(), 1};
    send(first, data == nullptr ? Op::write_zeroes : Op::write, first.block.n * block_bytes_.n,
         length, &Shard::whole_was_filled);
}

// Each is mapped in a step of its own, which a failure of another may come before.
void Shard::whole_was_filled(Part& first) {
    for (Part* part = std::exchange(first.next_filled, nullptr); part != nullptr;) {
        Part* const next = std::exchange(part->next_filled, nullptr);
        part->io.outcome = first.io.outcome;
        part->step = &Shard::filled;
        ready_.push(*part);
        part = next;
    }
    filled(first);
}

// A new block: payload, zeroes around it, unless there are some already. In one write where the
// zeroes fit the zero area, otherwise what is before and behind the payload's granules is zeroed by
// the device.
void Shard::fill_with_zeroes(Part& part) {
    const bool zero = pool_.features().zero_new_blocks &&
                      !known_zero_.take(part.block, pool_.metadata().data().size());
    const bool all = zero && block_bytes_.n <= zero_area_bytes;
    const std::uint64_t begin = all ? 0 : round_down(part.from, granule_);
    const std::uint64_t end = all ? block_bytes_.n : round_up(part.to, granule_);
    const bool more = zero && !all;
    write_middle(part, begin, end, more ? &Shard::zero_head : &Shard::filled);
}

void Shard::write_middle(Part& part, std::uint64_t begin, std::uint64_t end, Step then) {
    const std::uint64_t data_at = part.block.n * block_bytes_.n + begin;
    std::byte* data = payload(part);
    if (data == nullptr) {
        part.io.data = {};
        return send(part, Op::write_zeroes, data_at, end - begin, then);
    }
    std::size_t n = 0;
    if (part.from > begin) part.vec[n++] = slice(zero_area, part.from - begin);
    part.vec[n++] = slice(data, part.to - part.from);
    if (end > part.to) part.vec[n++] = slice(zero_area, end - part.to);
    part.io.data = {part.vec.data(), n};
    send(part, Op::write, data_at, end - begin, then);
}

void Shard::zero_head(Part& part) {
    if (!part.io.outcome) return filled(part);
    const std::uint64_t head = round_down(part.from, granule_);
    if (head == 0) return zero_tail(part);
    send(part, Op::write_zeroes, part.block.n * block_bytes_.n, head, &Shard::zero_tail);
}

void Shard::zero_tail(Part& part) {
    if (!part.io.outcome) return filled(part);
    const std::uint64_t tail = round_up(part.to, granule_);
    if (tail == block_bytes_.n) return filled(part);
    send(part, Op::write_zeroes, part.block.n * block_bytes_.n + tail, block_bytes_.n - tail,
         &Shard::filled);
}

void Shard::copy_step(Part& part) {
    if (part.filled == block_bytes_.n) return filled(part);
    const std::uint64_t length = std::min(chunk_bytes_.n, block_bytes_.n - part.filled);
    if (!part.old) return read_origin(part, length, &Shard::copy_was_read);
    part.vec[0] = slice(part.buffer, length);
    part.io.data = {part.vec.data(), 1};
    send(part, Op::read, part.old->n * block_bytes_.n + part.filled, length, &Shard::copy_was_read);
}

void Shard::copy_was_read(Part& part) {
    if (!part.io.outcome) return filled(part);
    const std::uint64_t length = std::min(chunk_bytes_.n, block_bytes_.n - part.filled);
    const std::uint64_t from = std::max(part.from, part.filled);
    const std::uint64_t to = std::min(part.to, part.filled + length);
    if (from < to) {
        std::byte* into = part.buffer + (from - part.filled);
        if (std::byte* data = payload(part))
            std::memcpy(into, data + (from - part.from), to - from);
        else std::memset(into, 0, to - from);
    }
    part.vec[0] = slice(part.buffer, length);
    send(part, Op::write, part.block.n * block_bytes_.n + part.filled, length,
         &Shard::copy_was_written);
}

void Shard::copy_was_written(Part& part) {
    if (!part.io.outcome) return filled(part);
    part.filled += std::min(chunk_bytes_.n, block_bytes_.n - part.filled);
    copy_step(part);
}

// The block is written, or a step of that failed. C2: only now may a mapping point to it.
void Shard::filled(Part& part) {
    if (!part.io.outcome) {
        if (part.io.outcome.error().code != Errc::out_of_space)
            return abandon_block(part, part.io.outcome.error());
        pool_.ran_out_below(part.io.outcome.error());  // C10
        release_block(part);
        return lacks_space(part, part.io.outcome.error());
    }
    pool_.filled_new_block();
    insert_mapping(part);
}

void Shard::insert_mapping(Part& part) {
    if (part.generation != pool_.generation())
        return abandon_block(part, Error(Errc::io_error, pool_.status().trouble));
    ThinMetadata& metadata = pool_.metadata();
    Volume& volume = *part.request->volume;
    if (volume.outlived) volume.lanes.unsettled.store(true, std::memory_order_seq_cst);
    const auto outcome = metadata.insert(*volume.device, part.at, part.block);
    if (outcome) {
        part.holds_block = false;
        leave_cell(part);
        return end_part(part, {});
    }
    if (outcome.error().code == Errc::out_of_space && pool_.want_commit()) {
        part.step = &Shard::insert_mapping;
        return waiting_changes_.push(part);
    }
    if (outcome.error().code == Errc::out_of_space) {
        pool_.ran_out_of(PoolMode::out_of_metadata_space, outcome.error());
        release_block(part);
        return lacks_space(part, outcome.error());
    }
    pool_.fail(outcome.error());
    abandon_block(part, outcome.error());
}

// Back to where dispatch_block() found it.
void Shard::release_block(Part& part) {
    const bool still_reserved =
        part.holds_block && part.generation == pool_.generation() && !pool_.stalled();
    if (still_reserved) {
        BoundedSpace* bounded = part.request->volume->device->bounded;
        if (bounded != nullptr) --bounded->filling;
        pool_.metadata().unreserve(part.block);
    }
    part.holds_block = false;
    leave_cell(part);
    if (std::exchange(part.in_epoch, false)) epochs_.leave(part.epoch);
    if (part.buffer != nullptr) give_buffer(std::exchange(part.buffer, nullptr));
}

void Shard::abandon_block(Part& part, Error error) {
    release_block(part);
    end_part(part, std::move(error));
}

// --- the external origin -------------------------------------------------------------------------

bool Shard::shows_origin(const Volume& volume, std::uint64_t at) {
    return volume.external_origin != nullptr && at < to_bytes(volume.external_origin->size()).n;
}

void Shard::begin_origin_read(IoRequest& request, VirtualBlock at, std::uint64_t from,
                              std::uint64_t to) {
    Part& part = new_part(request, &Shard::origin_step);
    part.at = at;
    part.from = from;
    part.to = to;
    part.filled = round_down(from, chunk_bytes_);
    part.buffer = take_buffer();
    if (part.buffer == nullptr) want_buffer_.push(part);
    else origin_step(part);
}

// The part's block of the origin from `filled` on into its buffer, zeroes past the origin's end.
void Shard::read_origin(Part& part, std::uint64_t length, Step then) {
    BlockQueue& origin = *part.request->volume->external_origin;
    const std::uint64_t at = part.at.n * block_bytes_.n + part.filled;
    const std::uint64_t size = to_bytes(origin.size()).n;
    const std::uint64_t there = at < size ? std::min(length, size - at) : 0;
    std::memset(part.buffer + there, 0, length - there);
    if (there == 0) {
        part.io.outcome = {};
        part.step = then;
        return ready_.push(part);
    }
    part.vec[0] = slice(part.buffer, there);
    part.io.data = {part.vec.data(), 1};
    send_to(origin, part, Op::read, at, there, then);
}

void Shard::origin_step(Part& part) {
    if (part.filled >= part.to) return end_part(part, {});
    read_origin(part, std::min(chunk_bytes_.n, block_bytes_.n - part.filled),
                &Shard::origin_was_read);
}

void Shard::origin_was_read(Part& part) {
    if (!part.io.outcome) return run_ended(part);
    const std::uint64_t begin = std::max(part.from, part.filled);
    const std::uint64_t end = std::min(part.to, part.filled + chunk_bytes_.n);
    std::memcpy(payload(part) + (begin - part.from), part.buffer + (begin - part.filled),
                end - begin);
    part.filled += chunk_bytes_.n;
    origin_step(part);
}

}  // namespace thinvol
