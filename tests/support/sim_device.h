// SimDevice: a device with a volatile write cache, for power cuts: it records what was written and
// flushed.
//
// Units       sectors; positions count the events of a Trace, which is the clock of a simulated run
// Invariants  (0) what a flush that failed should have covered may be lost, whatever later flushes
//                 say
//             (1) a completed write is visible to reads at once, and durable only when a flush that
//                 was submitted after it completed has itself completed, or when it carried fua and
//                 completed
//             (2) requests complete in an order the seed decides; some on the spot
// Errors      those that fail_at() plants
// Threads     one
// Source      SQLite test6.c; the kernel's dm-log-writes; TigerBeetle src/testing/storage.zig
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/block_queue.h"
#include "tests/support/seed.h"

namespace thinvol {

// What happened to all simulated devices of a run, in order.
struct Trace {
    enum class Kind : std::uint8_t {
        write_submitted,
        write_completed,
        flush_submitted,
        flush_completed,
        flush_failed,
        note
    };
    struct Event {
        Kind kind;
        std::uint32_t device;
        std::size_t subject;  // index into `writes`, or a flush's number
    };
    struct Write {
        std::uint32_t device;
        std::uint64_t at;  // bytes
        std::vector<std::byte> bytes;
        bool fua;
    };
    std::vector<Event> events;
    std::vector<Write> writes;
    std::size_t flushes = 0;

    std::size_t position() const { return events.size(); }
    // The time of something that is no device's business: later than all before, earlier than all
    // after.
    std::size_t note() {
        events.push_back({Kind::note, 0, 0});
        return events.size();
    }
};

class SimDevice : public BlockQueue {
public:
    SimDevice(Trace& trace, std::uint32_t number, std::vector<std::byte> image, std::uint64_t seed);

    Sectors size() const override { return to_sectors(Bytes(image_.size())); }
    Sectors granule() const override { return granule_; }
    bool submit(Request& request) override;
    // Of what is zero, seldom all: what a file system answers depends on its mood.
    Sectors zeroes_at(Sector at, Sectors most) override;
    void poll(bool wait) override;
    std::size_t in_flight() const override { return waiting_.size(); }

    void set_granule(Sectors granule) { granule_ = granule; }
    // Requests stay in flight longer: a poll that does not wait completes something once in so many
    // times.
    void set_slowness(std::uint64_t slowness) { slowness_ = slowness; }
    void grow(Sectors size) { image_.resize(to_bytes(size).n); }
    const std::vector<std::byte>& image() const { return image_; }
    // Asked before each request is carried out; an error is that request's outcome.
    void set_fault(std::function<std::optional<Error>(const Request&)> fault) {
        fault_ = std::move(fault);
    }

private:
    struct Waiting {
        Request* request;
        std::size_t subject;
    };
    std::size_t begin(const Request& request);
    void complete(Request& request, std::size_t subject);
    void add_event(Trace::Kind kind, std::size_t subject) {
        trace_.events.push_back({kind, number_, subject});
    }

    Trace& trace_;
    std::uint32_t number_;
    std::vector<std::byte> image_;
    Random random_;
    Sectors granule_{1};
    std::uint64_t slowness_ = 1;
    std::vector<Waiting> waiting_;
    std::function<std::optional<Error>(const Request&)> fault_;
};

// Which of the writes that are not durable reach the medium at a power cut.
enum class CrashPolicy { none, all, prefix, all_but_one, only_one, random, torn, device_order };
inline constexpr std::uint32_t all_devices = ~0U;

// Steps through a trace and makes the images that a power cut at each position could leave.
class CrashImages {
public:
    CrashImages(const Trace& trace, std::vector<std::vector<std::byte>> initial);

    std::size_t position() const { return position_; }
    bool at_end() const { return position_ == trace_.events.size(); }
    void step();
    std::size_t pending() const { return pending_.size(); }
    // The images if power is cut now. `favoured`: of device_order, the device all of whose writes
    // survive while the others lose theirs.
    std::vector<std::vector<std::byte>> cut(CrashPolicy policy, Random& random,
                                            std::uint32_t favoured = all_devices) const;

private:
    struct Pending {
        std::size_t write;
        bool completed = false;
        bool given_up = false;  // a flush failed: no later one vouches for it
    };
    void apply(std::vector<std::vector<std::byte>>& images, std::size_t write) const;

    const Trace& trace_;
    std::vector<std::vector<std::byte>> durable_;
    std::vector<Pending> pending_;                      // in order of submission
    std::vector<std::vector<std::size_t>> covered_by_;  // flush number -> writes it makes durable
    std::size_t position_ = 0;
};

}  // namespace thinvol
