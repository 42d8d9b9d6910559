// SimRun: a random workload on a pool over simulated devices, watched by an oracle.
//
// Units       sectors of volumes, data blocks of 64 KiB
// Invariants  (1) the pool, shard, lane, commit and request objects are those that the server runs
//             (2) the same seed and workload give the same run
// Errors      collected in failures(): a wrong read, an operation that should not have failed, a
//             recount that finds something
// Threads     one
// Source      reliability practice of FoundationDB and TigerBeetle
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/lane.h"
#include "engine/pool.h"
#include "tests/support/oracle.h"
#include "tests/support/sim_device.h"

namespace thinvol {

// How often each kind of step is taken, relative to the others.
struct Workload {
    const char* name;
    std::uint32_t write = 0, fua = 0, flush = 0, discard = 0, zero = 0, read = 0;
    std::uint32_t create = 0, snapshot = 0, remove = 0, trim = 0, grow_data = 0, grow_metadata = 0,
                  commit = 0;
    std::uint64_t data_blocks = 40;
    std::uint64_t volume_blocks = 12;
    bool long_writes = false;
    bool waits_for_space = false;         // else writes fail when the pool is full
    std::uint64_t slowness = 1;           // of the data device
    std::uint64_t metadata_slowness = 1;  // a commit stays in flight longer
    std::uint64_t most_in_flight = 8;
    std::uint64_t lanes = 0;              // that take turns with the pool's own thread
};

class SimRun {
public:
    static constexpr std::uint64_t metadata_blocks = 160;
    SimRun(const Workload& workload, std::uint64_t seed, Sectors granule = Sectors(1));
    ~SimRun();

    // Takes that many random steps, several requests at a time.
    void run(std::uint64_t steps);
    // Lets everything end; reopens the pool.
    void drain();
    void reopen();
    // Every volume reads, by the pool and each lane, as whoever opens the pool anew would see it.
    void verify_as_on_disk();
    // Every volume reads as it may, and the recount is clean.
    void verify_live();
    // What a power cut at `cut` left must be a pool with all that was promised by then.
    // With `go_on`, the pool is then used: a new volume shows nothing but zeroes and what is
    // written to it.
    void verify_cut(const std::vector<std::vector<std::byte>>& images, std::uint64_t cut,
                    bool go_on = false);

    const Trace& trace() const { return trace_; }
    const std::vector<std::vector<std::byte>>& initial_images() const { return initial_; }
    const std::vector<std::string>& failures() const { return failures_; }
    std::uint64_t flushes_answered() const { return flushes_answered_; }
    std::uint64_t out_of_space() const { return out_of_space_; }
    SimDevice& metadata() { return *metadata_; }
    SimDevice& data() { return *data_; }
    Pool& pool() { return *pool_; }
    // Errors that the run takes as a matter of course from now on (after a planted fault).
    void expect_errors() { errors_expected_ = true; }

private:
    struct Life {  // of a volume
        ThinId id;
        std::uint64_t create_began = 0, create_ended = never, remove_began = never,
                      remove_ended = never;
        std::unique_ptr<VolumeOracle> oracle;
        Volume* open = nullptr;
        std::uint32_t in_flight = 0;
    };
    struct Operation {
        SimRun* run = nullptr;
        IoRequest io;
        std::vector<std::byte> buffer;
        Life* life = nullptr;
        std::uint64_t began = 0;
        std::size_t change = 0;
        bool changes = false;
        bool finished = false;
    };
    void step();
    void submit_io(IoKind kind, bool fua);
    void io_done(Operation& op);
    void apply(PoolOperation operation,
               std::function<void(bool ok, std::uint64_t began, std::uint64_t now)> then);
    void create();
    void snapshot();
    void remove();
    void trim();
    void grow_data();
    void grow_metadata();
    Life* pick(bool idle);
    void pump();
    void make_lanes();
    bool run_lanes();
    template <class Done>
    void run_all_until(Done&& done);
    std::vector<std::byte> read_by(Lane* lane, const Life& life);
    void fail(std::string text);
    void verify_new_volume(Pool& pool, const std::string& when);
    template <class Allowed>
    void verify_contents(Pool& pool, const Life& life, const std::string& when, Allowed&& allowed);

    Workload workload_;
    Random random_;
    Trace trace_;
    std::unique_ptr<SimDevice> metadata_;
    std::unique_ptr<SimDevice> data_;
    std::vector<std::vector<std::byte>> initial_;
    std::unique_ptr<Pool> pool_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::vector<std::unique_ptr<Life>> lives_;
    std::vector<std::unique_ptr<Operation>> operations_;
    std::uint32_t next_id_ = 0;
    Generation next_generation_ = 1;
    std::unique_ptr<ApplyRequest> apply_;
    std::function<void(bool, std::uint64_t, std::uint64_t)> apply_then_;
    std::uint64_t apply_began_ = 0;
    std::uint64_t flushes_answered_ = 0;
    std::uint64_t out_of_space_ = 0;
    std::chrono::milliseconds clock_{0};
    bool errors_expected_ = false;
    std::vector<std::string> failures_;
};

}  // namespace thinvol
