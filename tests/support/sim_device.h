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
//             (3) a write that was made to fail may have reached the medium all the same
// Errors      those that set_fault() plants
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
    std::uint64_t requests = 0;  // that did not end on the spot

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
    // From now on requests end by let_go() alone, but for one that somebody stands still for.
    void hold(bool on) { held_ = on; }
    // What is in flight, by numbers that count all devices' requests; let_go() ends one of them.
    std::vector<std::uint64_t> held() const;
    void let_go(std::uint64_t number);
    void grow(Sectors size) { image_.resize(to_bytes(size).n); }
    const std::vector<std::byte>& image() const { return image_; }
    // Asked before each request is carried out; an error is that request's outcome.
    void set_fault(std::function<std::optional<Error>(const Request&)> fault) {
        fault_ = std::move(fault);
    }

    // The nth read or write from now on is said to be done, and is not.
    enum class Lie : std::uint8_t {
        lost_write,     // nothing is written
        strayed_write,  // it is written to another place besides
        stale_read,     // what was there before the last write
    };
    void plant_lie(Lie lie, std::uint64_t n) { lie_ = lie, lie_in_ = n; }
    bool lied() const { return lied_; }

private:
    struct Waiting {
        Request* request;
        std::size_t subject;
        std::uint64_t number;
    };
    void end(std::size_t at);
    std::size_t begin(const Request& request);
    void complete(Request& request, std::size_t subject);
    bool lies(const Request& request);
    void write(std::uint64_t at, std::span<const std::byte> bytes);
    void read(const Request& request, const std::vector<std::byte>& image);
    void add_event(Trace::Kind kind, std::size_t subject) {
        trace_.events.push_back({kind, number_, subject});
    }

    Trace& trace_;
    std::uint32_t number_;
    std::vector<std::byte> image_;
    Random random_;
    Sectors granule_{1};
    std::uint64_t slowness_ = 1;
    bool held_ = false;
    std::vector<Waiting> waiting_;
    std::function<std::optional<Error>(const Request&)> fault_;
    Lie lie_ = Lie::lost_write;
    std::uint64_t lie_in_ = 0;  // requests of its kind; 0: never
    bool lied_ = false;
    std::vector<std::byte> before_;  // of a stale read: the image before the last write
};

}  // namespace thinvol
