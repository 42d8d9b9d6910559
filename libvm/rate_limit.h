// RateLimit: so much a second, with a burst of one second: a token bucket.
//
// What is charged may be more than there is: it goes ahead, and the next waits until that is paid.
// So a request larger than one second's worth is slow, and not impossible.
//
// Units       tokens: requests or bytes; one is there for each that may pass
// Invariants  (1) over any t seconds no more is let pass than (t + 1) seconds' worth and
//                 one request
//             (2) while nothing is asked for, no more than one second's worth is saved
// Errors      none
// Threads     one
// Source      none
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace thinvol {

class RateLimit {
public:
    using Time = std::chrono::steady_clock::time_point;

    // 0: no limit. What is owed stays owed.
    void set(std::uint64_t per_second, Time now) {
        fill(now);
        const double rate = static_cast<double>(per_second);
        tokens_ = rate_ == 0 ? rate : std::min(tokens_, rate);
        rate_ = rate;
    }
    bool limited() const { return rate_ > 0; }
    bool ready(Time now) {
        fill(now);
        return rate_ == 0 || tokens_ >= 1;
    }
    void charge(std::uint64_t tokens) {
        if (limited()) tokens_ -= static_cast<double>(tokens);
    }
    // When it will be, if nothing is charged.
    Time ready_at() const {
        if (!limited() || tokens_ >= 1) return filled_at_;
        const std::chrono::duration<double> wait((1 - tokens_) / rate_);
        return filled_at_ + std::chrono::ceil<std::chrono::steady_clock::duration>(wait);
    }

private:
    void fill(Time now) {
        const std::chrono::duration<double> passed = now - filled_at_;
        if (limited() && passed.count() > 0)
            tokens_ = std::min(rate_, tokens_ + rate_ * passed.count());
        filled_at_ = std::max(filled_at_, now);
    }

    double rate_ = 0;
    double tokens_ = 0;
    Time filled_at_{};
};

}  // namespace thinvol
