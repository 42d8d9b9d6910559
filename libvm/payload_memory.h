// PayloadMemory: what all clients of a server together may hold for what they read and write, and
// each one's share of it.
//
// A client has a little without asking, so that those who ask for much keep nobody from work. What
// is above that it takes from the server's whole; where that is used up it waits, and those who
// hold some of it without taking their answers or sending what they announced are dropped.
//
// Units       bytes
// Invariants  (1) the shares' sum is no more than the maximum
//             (2) a client whose share is empty gets what one request needs of it, once the others
//                 have given theirs back: the maximum is larger than a request
// Errors      none
// Threads     PayloadMemory: any. PayloadShare: its client's
// Source      none
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "engine/base/assert.h"

namespace thinvol {

class PayloadMemory {
public:
    void set_maximum(std::size_t maximum) { maximum_ = maximum; }
    bool take(std::size_t n) {
        if (taken_.fetch_add(n, std::memory_order_relaxed) + n <= maximum_) return true;
        give_back(n);
        return false;
    }
    void give_back(std::size_t n) {
        const std::size_t before = taken_.fetch_sub(n, std::memory_order_relaxed);
        ASSERT(before >= n);
    }
    void begin_wait() { ++waiting_; }
    void end_wait() { --waiting_; }
    bool is_short() const { return waiting_ > 0; }

private:
    std::size_t maximum_ = 0;
    std::atomic<std::size_t> taken_ = 0;
    std::atomic<std::size_t> waiting_ = 0;  // clients
};

class PayloadShare {
public:
    static constexpr std::size_t free_of_charge = 256 << 10;
    static constexpr std::size_t step = 1 << 20;  // by which it grows and shrinks

    explicit PayloadShare(PayloadMemory& whole) : whole_(whole) {}
    ~PayloadShare() {
        stop_waiting();
        whole_.give_back(share_);
    }
    PayloadShare(const PayloadShare&) = delete;
    PayloadShare& operator=(const PayloadShare&) = delete;

    // False: not now; to be asked for again.
    bool hold(std::size_t n) {
        const std::size_t more = excess(held_ + n) > share_ ? excess(held_ + n) - share_ : 0;
        if (more > 0 && !whole_.take(more)) {
            if (!waits_) whole_.begin_wait();
            waits_ = true;
            return false;
        }
        stop_waiting();
        share_ += more;
        held_ += n;
        return true;
    }
    void release(std::size_t n) {
        ASSERT(held_ >= n);
        held_ -= n;
        const std::size_t needed = excess(held_);
        if (share_ == 0 || (needed > 0 && share_ < needed + 2 * step)) return;
        whole_.give_back(share_ - needed);
        share_ = needed;
    }
    std::size_t held() const { return held_; }
    bool has_share() const { return share_ > 0; }
    bool waits() const { return waits_; }
    void stop_waiting() {
        if (waits_) whole_.end_wait();
        waits_ = false;
    }

private:
    // In whole steps, what is not free of charge.
    static std::size_t excess(std::size_t held) {
        if (held <= free_of_charge) return 0;
        return (held - free_of_charge + step - 1) / step * step;
    }

    PayloadMemory& whole_;
    std::size_t held_ = 0;
    std::size_t share_ = 0;
    bool waits_ = false;
};

}  // namespace thinvol
