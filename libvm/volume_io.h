// VolumeIo: what clients did with a volume since it was activated, and how fast of late. Counting
// is an addition; nothing is locked or allocated.
//
// Units       requests that succeeded, bytes; a second
// Invariants  none
// Errors      none
// Threads     one
// Source      Linux Documentation/admin-guide/iostats.rst
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace thinvol {

struct IoCount {
    std::uint64_t ios = 0;
    std::uint64_t bytes = 0;

    void add(std::uint64_t n) {
        ++ios;
        bytes += n;
    }
};
struct VolumeIo {
    IoCount read, write, flush, trim, zero;
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
                static_cast<double>(n - before) / std::max(passed.count(), 1.0) + 0.5);
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
