// SimWorld: a catalog and physical volumes in memory, whose writes and flushes one Trace records:
// all that libvm does to stable storage, so that a power cut can be tried at each of its steps.
//
// Units       positions of the trace
// Invariants  (1) catalog, its WAL, and each physical volume have volatile caches of their own
//             (2) the locks are real files in a temporary directory
// Errors      none of its own
// Threads     one
// Source      sqlite.org, "The SQLite OS Interface"; SQLite test6.c
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libvm/session.h"
#include "tests/support/judges.h"
#include "tests/support/sim_device.h"

namespace thinvol {

class SimWorld {
public:
    // Physical volumes /pv0, /pv1 ... of that size, all zeroes; no catalog yet.
    SimWorld(std::size_t pvs, Sectors size, std::uint64_t seed);
    // A world that a power cut left: the images as images() gives them.
    SimWorld(std::vector<std::vector<std::byte>> images, std::uint64_t seed);
    ~SimWorld();

    // A process starts: sessions of the one before are gone.
    Result<Session> session();
    Trace& trace() { return trace_; }
    // What is stable now, if everything reached the medium: physical volumes, then catalog, then
    // WAL.
    std::vector<std::vector<std::byte>> images() const;
    static std::string pv_path(std::size_t i) { return "/pv" + std::to_string(i); }

private:
    class Opener;
    struct Vfs;
    void begin();

    Trace trace_;
    TemporaryDirectory locks_;
    std::vector<std::unique_ptr<SimDevice>> pvs_;
    std::unique_ptr<Opener> opener_;
    std::unique_ptr<Vfs> vfs_;
    std::int64_t clock_ = 1700000000;
};

}  // namespace thinvol
