// SimWorld: a catalog and physical volumes in memory, whose writes and flushes one Trace records:
// all that libvm does to stable storage, so that a power cut can be tried at each of its steps.
//
// Units       positions of the trace
// Invariants  (1) catalog, its WAL, and each physical volume have volatile caches of their own
//             (2) the locks are real files in a temporary directory
// Errors      those that plan() plants
// Threads     one
// Source      sqlite.org, "The SQLite OS Interface"; SQLite test6.c
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libvm/session.h"
#include "tests/support/judges.h"
#include "tests/support/sim_device.h"

namespace thinvol {

// What goes wrong with the catalog's files.
struct CatalogFault {
    enum class Kind : std::uint8_t {
        fails,     // the call does nothing, and says so
        no_space,  // as that, of a write
        tears,     // a write writes its first half, and fails
        lies,      // a flush does nothing, and does not say so
    };
    Kind kind = Kind::fails;
    std::uint64_t at = 0;  // the nth call that can fail so, from 1
    bool on = false;       // and all after it
};
// How a process finds the catalog: others having it open, there is an index of the WAL in memory.
enum class Opening : std::uint8_t { alone, beside_others };

class SimWorld {
public:
    // Physical volumes /pv0, /pv1 ... of that size, all zeroes; no catalog yet.
    SimWorld(std::size_t pvs, Sectors size, std::uint64_t seed);
    // A world that a power cut left: the images as images() gives them.
    SimWorld(std::vector<std::vector<std::byte>> images, std::uint64_t seed);
    ~SimWorld();

    // A process starts: sessions of the one before are gone.
    Result<Session> session(Opening opening = Opening::alone);
    // From now on, in place of what was planned before; none: all is well.
    void plan(std::optional<CatalogFault> fault);
    // Calls since then that could have failed so, and whether one did.
    std::uint64_t calls() const;
    bool failed() const;
    Trace& trace() { return trace_; }
    // What is stable now, if everything reached the medium: physical volumes, then catalog, then
    // WAL.
    std::vector<std::vector<std::byte>> images() const;
    // The same one in all worlds of a process; an empty file is there, for who looks.
    static std::string pv_path(std::size_t i);

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
