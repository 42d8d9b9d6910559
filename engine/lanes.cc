#include "engine/lanes.h"

#include <algorithm>
#include <bit>
#include <thread>

#include "engine/base/assert.h"

namespace thinvol {

std::size_t Lanes::join() {
    const auto lane = static_cast<std::size_t>(std::countr_one(joined_));
    ASSERT(lane < lanes_max);
    joined_ |= 1U << lane;
    return lane;
}

void Lanes::leave(std::size_t lane) {
    ASSERT(slots_[lane].oldest.load() == idle);
    joined_ &= ~(1U << lane);
}

void Lanes::close() {
    ++closed_;
    open_.store(false, std::memory_order_seq_cst);
}

void Lanes::open() {
    ASSERT(closed_ > 0);
    if (--closed_ == 0) open_.store(true, std::memory_order_seq_cst);
}

void Lanes::close_and_wait() {
    close();
    while (oldest() != idle) std::this_thread::yield();
}

std::uint64_t Lanes::oldest() const {
    std::uint64_t oldest = idle;
    for (const Slot& slot : slots_)
        oldest = std::min(oldest, slot.oldest.load(std::memory_order_seq_cst));
    return oldest;
}

std::uint32_t Lanes::inside(const Volume& volume) {
    std::uint32_t sum = 0;
    for (const LaneView::Count& count : volume.lanes.changes)
        sum += count.n.load(std::memory_order_seq_cst);
    return sum;
}

bool Lanes::begin_change(std::size_t lane, Volume& volume) {
    std::atomic<std::uint32_t>& mine = volume.lanes.changes[lane].n;
    mine.store(mine.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (volume.lanes.writes.load(std::memory_order_seq_cst)) return true;
    end_change(lane, volume);
    return false;
}

void Lanes::end_change(std::size_t lane, Volume& volume) {
    std::atomic<std::uint32_t>& mine = volume.lanes.changes[lane].n;
    mine.store(mine.load(std::memory_order_relaxed) - 1, std::memory_order_seq_cst);
    tell();
}

}  // namespace thinvol
