// VolumeIo: what clients did with a volume since it was activated, and how fast of late. Counting
// is an addition; nothing is locked or allocated.
//
// Units       requests that succeeded, bytes; a second
// Invariants  none
// Errors      none
// Threads     one; of the counters, one that adds and any that read
// Source      Linux Documentation/admin-guide/iostats.rst
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace thinvol {

struct IoCount {
    std::uint64_t ios = 0;
    std::uint64_t bytes = 0;
};
struct VolumeIo {
    IoCount read, write, flush, trim, zero;
};

// What one thread adds to.
class IoCounter {
public:
    void add(std::uint64_t bytes) {
        more(ios_, 1);
        more(bytes_, bytes);
    }
    void add_to(IoCount& sum) const {
        sum.ios += ios_.load(std::memory_order_relaxed);
        sum.bytes += bytes_.load(std::memory_order_relaxed);
    }

private:
    using Count = std::atomic<std::uint64_t>;
    static void more(Count& count, std::uint64_t n) {
        count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    Count ios_ = 0;
    Count bytes_ = 0;
};
struct alignas(64) VolumeCounters {
    IoCounter read, write, flush, trim, zero;

    void add_to(VolumeIo& sum) const {
        read.add_to(sum.read);
        write.add_to(sum.write);
        flush.add_to(sum.flush);
        trim.add_to(sum.trim);
        zero.add_to(sum.zero);
    }
};

// Of reads and of writes, averaged over the last seconds.
struct IoRates {
    std::uint64_t read_ios = 0, read_bytes = 0;
    std::uint64_t write_ios = 0, write_bytes = 0;
};

class IoAverage {
public:
    using Time = std::chrono::steady_clock::time_point;

    // Once a second.
    void sample(const VolumeIo& io, Time now) {
        samples_[taken_++ % samples_.size()] = {io.read, io.write, now};
    }
    // Since the oldest sample that is kept; a volume that is new has done nothing before.
    IoRates rates(const VolumeIo& io, Time now) const {
        if (taken_ == 0) return {};
        const Sample& since = samples_[taken_ < samples_.size() ? 0 : taken_ % samples_.size()];
        const std::chrono::duration<double> passed = now - since.at;
        const auto rate = [&](std::uint64_t n, std::uint64_t before) {
            return static_cast<std::uint64_t>(
                std::llround(static_cast<double>(n - before) / std::max(passed.count(), 1.0)));
        };
        return {rate(io.read.ios, since.read.ios), rate(io.read.bytes, since.read.bytes),
                rate(io.write.ios, since.write.ios), rate(io.write.bytes, since.write.bytes)};
    }

private:
    struct Sample {
        IoCount read, write;
        Time at;
    };
    std::array<Sample, 5> samples_{};
    std::size_t taken_ = 0;
};

}  // namespace thinvol
