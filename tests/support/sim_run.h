// SimRun: a random workload on a pool over simulated devices, watched by an oracle.
//
// Units       sectors of volumes, data blocks of 64 KiB
// Invariants  (1) the pool, shard, lane, commit and request objects are those that the server runs
//             (2) the same seed and workload give the same run, and so do the same seed and acts
// Errors      collected in failures(): a wrong read, an operation that should not have failed, a
//             recount that finds something
// Threads     one
// Source      reliability practice of FoundationDB and TigerBeetle
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/lane.h"
#include "engine/pool.h"
#include "tests/support/crash_images.h"
#include "tests/support/memory_queue.h"
#include "tests/support/oracle.h"

namespace thinvol {

// How often each kind of step is taken, relative to the others.
struct Workload {
    const char* name;
    std::uint32_t write = 0, fua = 0, flush = 0, discard = 0, zero = 0, read = 0;
    std::uint32_t create = 0, snapshot = 0, remove = 0, trim = 0, grow_data = 0, grow_metadata = 0,
                  commit = 0, hold = 0, release = 0;  // hold, release: a metadata snapshot
    std::uint64_t data_blocks = 40;
    std::uint64_t volume_blocks = 12;
    std::uint64_t metadata_blocks = 160;
    std::uint32_t ballast = 0;         // volumes that nobody uses; fewer if no more fit
    std::uint64_t origin_sectors = 0;  // volumes show an external origin of that size
    bool long_writes = false;
    bool waits_for_space = false;         // else writes fail when the pool is full
    std::uint64_t slowness = 1;           // of the data device
    std::uint64_t metadata_slowness = 1;  // a commit stays in flight longer
    std::uint64_t most_in_flight = 8;
    std::uint64_t lanes = 0;  // that take turns with the pool's own thread
    std::size_t cache_blocks = MetadataOptions().cache_blocks;
    Bytes mapping_cache = MetadataOptions().mapping_cache;
    bool outlived = false;  // (C12) whoever writes goes on when this process is killed
};

// One step of a run. What it is about is a number among those that are there when it is taken, so
// that a run from which acts are left out is a run.
struct Act {
    enum class Kind : std::uint8_t {
        write,
        flush,
        discard,
        zero,
        read,
        create,
        snapshot,
        remove,
        trim,
        grow_data,
        grow_metadata,
        commit,
        hold,
        release,
        tick,
        settle,  // ends everything that is under way, and commits
    };
    static constexpr std::uint64_t kinds = 16;
    Kind kind;
    std::uint32_t who = 0;
    std::uint64_t at = 0;  // sectors, or how much a device grows
    std::uint64_t n = 1;
    bool fua = false;
    bool flag = false;        // of zero: keeps blocks allocated; of settle: flushes first
    std::uint32_t turns = 0;  // that the pool takes afterwards
    std::uint8_t way = 255;   // of a request: 0 the pool's thread, or a lane; 255: any
};
std::string text_of(const std::vector<Act>& acts);

class SimRun {
public:
    SimRun(const Workload& workload, std::uint64_t seed, Sectors granule = Sectors(1));
    // Goes on where a power cut left `before`: what volumes hold now is what they held then.
    SimRun(const SimRun& before, const CrashImages::Images& images, std::uint64_t seed);
    ~SimRun();

    // Takes that many random steps, several requests at a time.
    void run(std::uint64_t steps);
    void play(const std::vector<Act>& acts);
    // Those that were taken.
    const std::vector<Act>& acts() const { return acts_; }
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
    void verify_cut(CrashImages::Images images, std::uint64_t cut, bool go_on = false);
    // As that, without a copy; looking leaves them as they are.
    void look_at_cut(CrashImages::Images& images, std::uint64_t cut);

    const Trace& trace() const { return trace_; }
    // As long as the devices became.
    CrashImages::Images initial_images() const;
    const std::vector<std::string>& failures() const { return failures_; }
    std::uint64_t flushes_answered() const { return flushes_answered_; }
    std::uint64_t out_of_space() const { return out_of_space_; }
    SimDevice& metadata() { return *metadata_; }
    SimDevice& data() { return *data_; }
    Pool& pool() { return *pool_; }
    std::span<const std::unique_ptr<Lane>> lanes() const { return lanes_; }
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
    void begin(Sectors granule);
    void adopt_volumes();
    Act draw();
    void perform(const Act& act);
    void submit_io(const Act& act);
    void begin_change(Operation& op, std::uint64_t at, std::uint64_t n);
    void io_done(Operation& op);
    void judge_read(const Operation& op, std::uint64_t now);
    void apply(PoolOperation operation,
               std::function<void(bool ok, std::uint64_t began, std::uint64_t now)> then);
    void create();
    void snapshot(const Act& act);
    void remove(const Act& act);
    void trim(const Act& act);
    void grow_data(const Act& act);
    void grow_metadata(const Act& act);
    void settle(bool flushes);
    Life* pick(std::uint32_t who, bool idle);
    Result<Volume*> open(Pool& pool, const Life& life, bool read_only);
    void open_new(Life& life);
    Result<std::vector<std::byte>> read_all(Pool& pool, const Life& life);
    std::vector<Generation> origin_contents() const;
    void pump();
    void make_lanes();
    bool run_lanes();
    template <class Done>
    void run_all_until(Done&& done);
    std::vector<std::byte> read_by(Lane* lane, const Life& life);
    void fail(std::string text);
    void judge_devices(MemoryQueue& md, MemoryQueue& data, std::uint64_t cut, bool go_on);
    void verify_pool(Pool& pool, std::uint64_t cut, const std::string& when);
    void verify_new_volume(Pool& pool, const std::string& when);
    template <class Allowed>
    void verify_contents(Pool& pool, const Life& life, const std::string& when, Allowed&& allowed);

    Workload workload_;
    Random random_;  // of the acts
    Random moods_;   // of all else
    std::vector<Act> acts_;
    std::unique_ptr<MemoryQueue> origin_;
    Trace trace_;
    std::unique_ptr<SimDevice> metadata_;
    std::unique_ptr<SimDevice> data_;
    CrashImages::Images initial_;
    std::unique_ptr<Pool> pool_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    bool held_ = false;
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
