// Lanes: what a pool's own thread and its lanes tell each other, without a lock.
//
// A lane is another thread's way to the volumes (lane.h). It only reads what is here, and stores
// what it has under way; everything that changes mappings is the pool's thread's.
//
// Units       epochs, counted from 1
// Invariants  (C6) passed(barrier()) only once every lane has ended what it began before
//             (C7) drained() only when no lane changes the volume, and none begins to before its
//                  `writes` are let in again
//             (C8) quiet() only when no lane uses the mapping cache or the data device, and none
//                  begins to before open()
// Errors      none
// Threads     as each part says
// Source      epoch-based reclamation (K. Fraser, "Practical lock-freedom", 2004, section 5.2.3)
//
// Memory order: each question the pool's thread asks is two stores and two loads that cross: it
// stores "no more from here on" and loads what is under way; a lane stores that something is under
// way and loads whether it may be. All four are sequentially consistent, so one of the two sees
// the other. That the pool's thread wants to be woken goes the same way.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

#include "engine/base/mailbox.h"
#include "engine/io_request.h"

namespace thinvol {

class MappingCache;

class Lanes {
public:
    // --- the pool's thread
    // How the thread is woken; any thread calls it.
    void on_wake(std::function<void()> wake) { wake_ = std::move(wake); }
    // A number for a new lane, less than lanes_max; no more than that many at a time.
    std::size_t join();
    void leave(std::size_t lane);

    // Ends the current epoch and returns its number.
    std::uint64_t barrier() { return epoch_.fetch_add(1, std::memory_order_seq_cst); }
    bool passed(std::uint64_t epoch) {
        return asks([&] { return oldest() > epoch; });
    }
    bool drained(const Volume& volume) {
        return asks([&] { return inside(volume) == 0; });
    }
    // Until open(), which as many must say as said this, lanes hand everything over.
    void close();
    void open();
    bool quiet() {
        return asks([&] { return oldest() == idle; });
    }
    // Waits for that; for a moment, as nothing a lane has under way waits for the pool's thread.
    void close_and_wait();
    void set_cache(const MappingCache* cache) { cache_ = cache; }
    Fifo<IoRequest> take() { return handed_over_.take(); }

    // --- lanes
    // Something of that epoch is under way from here on.
    void enter(std::size_t lane, std::uint64_t epoch) {
        slots_[lane].oldest.store(epoch, std::memory_order_seq_cst);
    }
    // To be asked once entered.
    bool may_begin() const { return open_.load(std::memory_order_seq_cst); }
    // What is under way is of that epoch and later ones, or nothing is (idle).
    void set_oldest(std::size_t lane, std::uint64_t epoch) {
        slots_[lane].oldest.store(epoch, std::memory_order_seq_cst);
        tell();
    }
    std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
    const MappingCache& cache() const { return *cache_; }
    // Whether the volume may be changed; if so, end_change() is to follow.
    bool begin_change(std::size_t lane, Volume& volume);
    void end_change(std::size_t lane, Volume& volume);
    void hand_over(IoRequest& request) {
        if (handed_over_.push(request)) wake();
    }

    static constexpr std::uint64_t idle = ~0ULL;

private:
    struct alignas(64) Slot {
        std::atomic<std::uint64_t> oldest{idle};  // epoch of what is under way
    };
    std::uint64_t oldest() const;
    static std::uint32_t inside(const Volume& volume);
    // A lane that makes it true after the answer no wakes the pool's thread.
    template <class Question>
    bool asks(Question&& question) {
        if (question()) return true;
        waits_.store(true, std::memory_order_seq_cst);
        return question();
    }
    void tell() {
        if (waits_.load(std::memory_order_seq_cst) && waits_.exchange(false)) wake();
    }
    void wake() const {
        if (wake_) wake_();
    }

    std::function<void()> wake_;
    std::atomic<std::uint64_t> epoch_{1};
    std::atomic<bool> open_{true};
    std::atomic<bool> waits_{false};
    const MappingCache* cache_ = nullptr;  // changes while no lane is under way
    std::uint32_t closed_ = 0;             // how many hold them closed
    std::uint32_t joined_ = 0;             // bits
    std::array<Slot, lanes_max> slots_;
    Mailbox<IoRequest> handed_over_;
};

}  // namespace thinvol
