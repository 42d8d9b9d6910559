// DelayingQueue: a queue that takes its time with some requests, as devices do.
//
// Units       one request in `one_in`, up to `longest`
// Invariants  those of BlockQueue; requests overtake each other
// Errors      those of the queue below, which does everything on the spot
// Threads     one
// Source      none
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "engine/base/assert.h"
#include "engine/block_queue.h"
#include "tests/support/seed.h"

namespace thinvol {

class DelayingQueue : public BlockQueue {
public:
    using Clock = std::chrono::steady_clock;

    DelayingQueue(BlockQueue& below, std::uint64_t seed, std::uint64_t one_in,
                  std::chrono::microseconds longest)
        : below_(below), random_(seed), one_in_(one_in), longest_(longest) {}
    Sectors size() const override { return below_.size(); }
    Sectors granule() const override { return below_.granule(); }
    Sectors zeroes_at(Sector at, Sectors most) override { return below_.zeroes_at(at, most); }
    std::size_t in_flight() const override { return late_.size(); }

    bool submit(Request& request) override {
        if (!random_.one_in(one_in_)) return below_.submit(request);
        const auto most = static_cast<std::uint64_t>(longest_.count());
        late_.push_back({&request, Clock::now() + std::chrono::microseconds(random_.below(most))});
        ++delayed_;
        return false;
    }
    void poll(bool wait) override {
        if (late_.empty()) return;
        const auto earlier = [](const Late& a, const Late& b) { return a.due < b.due; };
        if (wait)
            std::this_thread::sleep_until(
                std::min_element(late_.begin(), late_.end(), earlier)->due);
        const Clock::time_point now = Clock::now();
        for (std::size_t i = 0; i < late_.size();) {
            if (late_[i].due > now) {
                ++i;
                continue;
            }
            Request& request = *late_[i].request;
            late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
            ASSERT(below_.submit(request));
            request.done(request);
        }
    }
    std::uint64_t delayed() const { return delayed_; }

private:
    struct Late {
        Request* request;
        Clock::time_point due;
    };
    BlockQueue& below_;
    Random random_;
    std::uint64_t one_in_;
    std::chrono::microseconds longest_;
    std::vector<Late> late_;
    std::uint64_t delayed_ = 0;
};

}  // namespace thinvol
