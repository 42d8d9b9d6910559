// BlockQueue: one thread's way to a block device; everything the engine reads or writes goes
// through it.
//
// Units       whole sectors; `granule()` is the smallest unit the device takes
// Invariants  (1) request and buffers stay put from submit() until it returns true or done() has
//                 run
//             (2) done() runs only inside poll(), only records that it ran, and never submits: so
//                 code that waits for one request is not surprised by the work of another
//             (3) what was written is not durable before a flush that was submitted after the write
//                 completed has itself succeeded (or the write carried fua)
//             (4) a flush that failed is never reported as success later: what it covered may be
//                 lost
// Errors      in Request::outcome: io_error, out_of_space, invalid_argument (out of range,
//             misaligned)
// Threads     one thread for all calls on one object
// Source      nbdkit's backend interface; style of the Linux bio
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "engine/base/result.h"
#include "engine/base/units.h"

namespace thinvol {

enum class Op : std::uint8_t { read, write, flush, discard, write_zeroes };

struct Request {
    Op op = Op::read;
    bool fua = false;  // write: durable once done
    Sector at{};       // a queue may translate it on the way down: set it anew each time
    Sectors length{};  // of all but flush; for read and write the sum of `data`
    std::span<const iovec> data{};  // of read and write
    Result<> outcome{};
    void (*done)(Request&) = nullptr;
    void* owner = nullptr;    // for done()
    Request* link = nullptr;  // for whoever holds the request at the moment
};

class BlockQueue {
public:
    virtual ~BlockQueue() = default;
    virtual Sectors size() const = 0;
    // Requests whose `at` and `length` are no multiples of this are refused. A power of two.
    virtual Sectors granule() const = 0;
    // True: finished on the spot, `outcome` is set and done() will not run. False: done() will run
    // in a later poll(); the device may see the request only then.
    virtual bool submit(Request& request) = 0;
    // How much, from `at` on and up to `most`, surely reads as zeroes; 0 where that is not known
    // without reading. No request to it may be in flight.
    virtual Sectors zeroes_at(Sector /*at*/, Sectors /*most*/) { return Sectors(0); }
    // Runs done() of completed requests, in any order. With `wait`, and any in flight, at least
    // one.
    virtual void poll(bool wait) = 0;
    // Requests for which done() is still to run.
    virtual std::size_t in_flight() const = 0;
};

// The range check every queue makes before it believes a request.
Result<> check_range(const BlockQueue& queue, const Request& request);

// Submits and waits. For metadata and for tools; done() of other requests may run meanwhile.
Result<> read_now(BlockQueue& queue, Sector at, std::span<std::byte> into);
Result<> write_now(BlockQueue& queue, Sector at, std::span<const std::byte> from, bool fua = false);
Result<> flush_now(BlockQueue& queue);
Result<> zero_now(BlockQueue& queue, Sector at, Sectors length);

}  // namespace thinvol
