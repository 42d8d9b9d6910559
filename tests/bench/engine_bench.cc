// What the engine itself costs, without disks: measured against the targets, as a markdown table.
//
//     engine_bench [ROW]...        rows: lookup, memory, provision, snapshot, chain; all by default
//
// Goal    a target that is missed is printed as missed, with where the time goes; the exit status
//         says nothing about speed.
// Method  metadata on a device in memory, data on one that takes everything and keeps nothing.
//         Times are the processor's time of the thread, so that other programs count as little as
//         may be; medians of rounds after one to warm up; what is compared takes turns. Lookups
//         depend on each other, so that each is waited for.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/pool.h"
#include "tests/support/memory_queue.h"

namespace thinvol {
namespace {

constexpr Sectors block_size{128};  // 64 KiB
constexpr std::uint64_t block_bytes = 65536;
constexpr std::uint64_t commit_every = 1000;
constexpr int rounds = 9;

template <class T>
T must(Result<T>&& r) {
    if (!r) {
        fmt::print(stderr, "engine_bench: {}\n", r.error().text);
        std::exit(1);
    }
    return take(std::move(r));
}

double now(clockid_t clock) {
    timespec t{};
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Seconds of this thread that body() takes.
template <class Body>
double timed(Body&& body) {
    const double began = now(CLOCK_THREAD_CPUTIME_ID);
    body();
    return now(CLOCK_THREAD_CPUTIME_ID) - began;
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

enum class Wanted { at_most, at_least, shown };
void print_row(const std::string& name, double measured, const char* unit, Wanted wanted,
               double target, const std::string& note) {
    const bool met = wanted == Wanted::at_most ? measured <= target : measured >= target;
    const std::string limit =
        wanted == Wanted::shown
            ? "-"
            : fmt::format("{} {:g}", wanted == Wanted::at_most ? "at most" : "at least", target);
    fmt::print("| {} | {:.{}f} {} | {} | {} | {} |\n", name, measured, measured < 1000 ? 2 : 0,
               unit, limit,
               wanted == Wanted::shown ? "-"
               : met                   ? "met"
                                       : "missed",
               note);
    std::fflush(stdout);
}

// Takes everything at once and keeps nothing.
class EmptyQueue : public BlockQueue {
public:
    explicit EmptyQueue(DataBlocks blocks) : size_(blocks.n * block_size.n) {}
    Sectors size() const override { return size_; }
    Sectors granule() const override { return Sectors(8); }
    bool submit(Request& request) override {
        request.outcome = check_range(*this, request);
        return true;
    }
    void poll(bool) override {}
    std::size_t in_flight() const override { return 0; }

private:
    Sectors size_;
};

// A pool of its own, driven by one thread.
class Bench {
public:
    Bench(MetadataBlocks metadata, DataBlocks data, const MetadataOptions& options = {})
        : metadata_(Sectors(metadata.n * (metadata_block_bytes / 512))),
          data_(data),
          pool_(must(Pool::create(metadata_, data_, block_size, {.metadata = options}))) {}

    Pool& pool() { return *pool_; }
    void apply(PoolOperation operation) {
        ApplyRequest request;
        request.operations.push_back(operation);
        request.from = pool_->status().transaction_id;
        request.to = TransactionId{request.from.n + 1};
        bool done = false;
        request.owner = &done;
        request.done = [](ApplyRequest& r) { *static_cast<bool*>(r.owner) = true; };
        pool_->apply(request);
        pool_->run_until([&] { return done; });
        must(std::move(request.outcome));
    }
    Volume& create(std::uint32_t id) {
        apply(CreateThin{ThinId::checked(id)});
        return open(id);
    }
    Volume& open(std::uint32_t id) {
        return *must(pool_->open_volume(ThinId::checked(id), Bytes(1ULL << 50), false));
    }
    // Requests of that length, at the places that `at` gives in bytes; as many at once as may be.
    template <class At>
    void submit(Volume& volume, IoKind kind, std::uint64_t length, std::uint64_t n, At&& at) {
        constexpr std::uint64_t at_once = 32;
        for (std::uint64_t i = 0; i < n;) {
            std::uint64_t in_flight = std::min(at_once, n - i);
            for (std::uint64_t slot = 0, of = in_flight; slot < of; ++slot, ++i) {
                IoRequest& request = slots_[slot];
                request = IoRequest{};
                request.kind = kind;
                request.volume = &volume;
                request.offset = ByteOffset(at(i));
                request.length = Bytes(length);
                request.buffer = buffer_.data();
                request.owner = &in_flight;
                request.done = [](IoRequest& r) {
                    must(std::move(r.outcome));
                    --*static_cast<std::uint64_t*>(r.owner);
                };
                pool_->submit(request);
            }
            pool_->run_until([&] { return in_flight == 0; });
        }
    }
    // Whole blocks, first to first + n in order, a commit after each thousand.
    void fill(Volume& volume, std::uint64_t first, std::uint64_t n) {
        for (std::uint64_t i = first; i < first + n; i += commit_every) {
            submit(volume, IoKind::write, block_bytes, std::min(commit_every, first + n - i),
                   [&](std::uint64_t k) { return (i + k) * block_bytes; });
            commit();
        }
    }
    void commit() {
        commit_seconds_ += timed([&] { must(pool_->settle()); });
    }
    double commit_seconds() const { return commit_seconds_; }

private:
    MemoryQueue metadata_;
    EmptyQueue data_;
    std::unique_ptr<Pool> pool_;
    double commit_seconds_ = 0;
    std::array<IoRequest, 32> slots_;
    alignas(4096) std::array<std::byte, block_bytes> buffer_{};
};

// --- rows ----------------------------------------------------------------------------------------

// Looks n mapped blocks up, of the first `span`, in no order; each place comes out of the answer
// before it, so that none is asked for ahead.
template <class Lookup>
std::uint64_t walk(std::uint64_t at, std::uint64_t n, std::uint64_t span, Lookup&& lookup) {
    for (std::uint64_t i = 0; i < n; ++i)
        at = at * 6364136223846793005ULL + lookup((at >> 32) % span) + 1442695040888963407ULL;
    return at;
}

// Nanoseconds of one lookup; `at` goes on from round to round, so nothing can be left out.
template <class Lookup>
double walk_time(std::uint64_t n, std::uint64_t span, Lookup&& lookup) {
    std::uint64_t at = walk(1, 4 * span, span, lookup);
    std::vector<double> seconds;
    for (int i = 0; i < rounds; ++i)
        seconds.push_back(timed([&] { at = walk(at, n, span, lookup); }));
    ASSERT(at != 0);
    return median(seconds) / static_cast<double>(n) * 1e9;
}

// How many times as much two threads look up as one does.
struct Speedup {
    double processor;  // by each thread's own processor time
    double wall;       // by the clock: what other programs leave of two processors
};
template <class Lookup>
Speedup two_threads(std::uint64_t n, std::uint64_t span, Lookup&& lookup) {
    std::vector<double> processor;
    std::vector<double> wall;
    for (int i = 0; i < rounds; ++i) {
        const double began_alone = now(CLOCK_MONOTONIC);
        const double alone = timed([&] { walk(1, n, span, lookup); });
        const double began = now(CLOCK_MONOTONIC);
        std::atomic<int> ready = 0;
        double together[2];
        const auto run = [&](int which) {
            ++ready;
            while (ready < 2) std::this_thread::yield();
            together[which] = timed([&] { walk(which == 0 ? 2 : 3, n, span, lookup); });
        };
        std::thread other(run, 1);
        run(0);
        other.join();
        processor.push_back(alone / together[0] + alone / together[1]);
        wall.push_back(2 * (began - began_alone) / (now(CLOCK_MONOTONIC) - began));
    }
    return {median(processor), median(wall)};
}

void lookup_rows() {
    constexpr std::uint64_t hot = 1 << 16;
    constexpr std::uint64_t many = 1 << 21;
    constexpr std::uint64_t n = 1000000;
    Bench bench(MetadataBlocks(32768), DataBlocks(many));
    Volume& volume = bench.create(1);
    bench.fill(volume, 0, many);
    ThinMetadata& md = bench.pool().metadata();
    const auto lookup = [&](std::uint64_t at) {
        return (*md.lookup(*volume.device, VirtualBlock(at)))->block.n;
    };
    const auto find = [&](std::uint64_t at) {
        return md.mapping_cache().find(volume.id, VirtualBlock(at)).mapping.block.n;
    };
    std::vector<std::uint64_t> bare(many, 1);
    const auto memory = [&](std::uint64_t at) { return bare[at]; };
    print_row("mapped lookup, hot, one thread", walk_time(n, hot, lookup), "ns", Wanted::at_most,
              100,
              fmt::format("64 Ki mappings in no order; memory alone: {:.0f} ns",
                          walk_time(n, hot, memory)));
    const Speedup speedup = two_threads(4 * n, hot, find);
    print_row(
        "mapped lookup, hot, two threads / one", speedup.processor, "", Wanted::at_least, 1.8,
        fmt::format("in the same volume; by the wall clock, beside all that runs here: {:.2f}",
                    speedup.wall));
    print_row("mapped lookup, 2 Mi mappings", walk_time(n, many, lookup), "ns", Wanted::shown, 0,
              fmt::format("beyond the processor's cache; memory alone: {:.0f} ns",
                          walk_time(n, many, memory)));
}

// KiB, exactly: the figure of /proc/self/statm may be behind.
double resident_kib() {
    std::ifstream file("/proc/self/smaps_rollup");
    std::string word;
    while (file >> word && word != "Rss:") {}
    double kib = 0;
    file >> kib;
    ASSERT(kib > 0);
    return kib;
}

// KiB that a cache with that limit takes when so many mappings go through it.
double cache_memory(Bytes limit, std::uint64_t blocks) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> block{};
    Node(block.data()).format(true, 8);
    const LeafView nothing{NodeView(block.data())};
    const ThinId id = ThinId::checked(1);
    resident_kib();  // its own code is in memory now
    const double before = resident_kib();
    MappingCache cache(limit);
    for (std::uint64_t b = 0; b < blocks; ++b) {
        if (b % MappingCache::page_entries == 0)
            cache.learn(id, VirtualBlock(b), nothing, DataBlock(blocks));
        cache.map(id, VirtualBlock(b), {DataBlock(b), SnapTime::checked(1)});
    }
    return resident_kib() - before;
}

void memory_rows() {
    constexpr std::uint64_t blocks = 1 << 20;
    print_row("mapping cache, memory of a hot block",
              cache_memory(Bytes(8300 << 10), blocks) * 1024 / static_cast<double>(blocks), "bytes",
              Wanted::at_most, 8.1, "8 are the mapping, the rest its share of a tag");
    print_row("mapping cache, memory at a limit of 1 MiB", cache_memory(Bytes(1 << 20), blocks),
              "KiB", Wanted::at_most, 1024, "while 1 Mi mappings, 8 MiB, go through it");
    Bench bench(MetadataBlocks(32768), DataBlocks(blocks), {.mapping_cache = Bytes(1 << 20)});
    Volume& volume = bench.create(1);
    bench.fill(volume, 0, blocks);
    const double missing = walk_time(100000, blocks, [&](std::uint64_t at) {
        return (*bench.pool().metadata().lookup(*volume.device, VirtualBlock(at)))->block.n;
    });
    print_row("mapped lookup that misses that cache", missing, "ns", Wanted::shown, 0,
              "the tree is walked, and its leaf taken in");
}

void provision_rows() {
    constexpr std::uint64_t n = 200000;
    std::vector<double> sequential;
    std::vector<double> random;
    std::vector<double> sequential_commits;  // percent of the time
    std::vector<double> random_commits;
    std::mt19937_64 engine(1);
    for (int round = 0; round <= rounds; ++round) {
        Bench bench(MetadataBlocks(65536), DataBlocks(2 * n));
        Volume& a = bench.create(1);
        Volume& b = bench.create(2);
        const double in_order = timed([&] { bench.fill(a, 0, n); });
        const double commits = bench.commit_seconds();
        std::vector<std::uint64_t> order(n);
        for (std::uint64_t i = 0; i < n; ++i) order[i] = i * 16;
        std::shuffle(order.begin(), order.end(), engine);
        const double anywhere = timed([&] {
            for (std::uint64_t i = 0; i < n; i += commit_every) {
                bench.submit(b, IoKind::write, block_bytes, commit_every,
                             [&](std::uint64_t k) { return order[i + k] * block_bytes; });
                bench.commit();
            }
        });
        const double all_commits = bench.commit_seconds();
        if (round == 0) continue;
        sequential.push_back(n / in_order);
        random.push_back(n / anywhere);
        sequential_commits.push_back(commits / in_order * 100);
        random_commits.push_back((all_commits - commits) / anywhere * 100);
    }
    print_row("provision, sequential, commit every 1000", median(sequential), "blocks/s",
              Wanted::at_least, 500000,
              fmt::format("whole blocks of 64 KiB through the pool; {:.0f} % of it are commits",
                          median(sequential_commits)));
    print_row("provision, random, commit every 1000", median(random), "blocks/s", Wanted::shown, 0,
              fmt::format("one block in 16 of the volume; {:.0f} % of it are commits",
                          median(random_commits)));
}

void snapshot_rows() {
    constexpr std::uint64_t large = 10000000;
    Bench bench(MetadataBlocks(65536), DataBlocks(large + 100000));
    bench.fill(bench.create(1), 0, 1000);
    bench.fill(bench.create(2), 0, large);
    std::vector<double> seconds[2];
    for (int round = -100; round < 501; ++round) {
        for (std::uint32_t origin : {1U, 2U}) {
            const double took = timed(
                [&] { bench.apply(CreateSnapshot{ThinId::checked(3), ThinId::checked(origin)}); });
            bench.apply(RemoveThin{ThinId::checked(3)});
            if (round >= 0) seconds[origin - 1].push_back(took);
        }
    }
    const double small = median(seconds[0]) * 1e6;
    print_row("snapshot of 10 million mappings / of 1 thousand", median(seconds[1]) * 1e6 / small,
              "", Wanted::at_most, 1.2, fmt::format("{:.1f} us with its commit", small));
}

void chain_rows() {
    constexpr std::uint64_t blocks = 100000;
    constexpr std::uint32_t depth = 1000;
    Bench bench(MetadataBlocks(65536), DataBlocks(4 * blocks));
    Volume& plain = bench.create(1);
    bench.fill(plain, 0, blocks);
    Volume* last = &bench.create(2);
    bench.fill(*last, 0, blocks);
    std::mt19937_64 engine(1);
    for (std::uint32_t id = 3; id < 3 + depth; ++id) {
        bench.apply(CreateSnapshot{ThinId::checked(id), last->id});
        bench.pool().close_volume(*last);
        last = &bench.open(id);
        bench.submit(*last, IoKind::write, block_bytes, 10,
                     [&](std::uint64_t) { return engine() % blocks * block_bytes; });
    }
    must(bench.pool().settle());
    constexpr std::uint64_t n = 200000;
    std::vector<double> seconds[2];
    for (int round = -1; round < rounds; ++round) {
        for (int which : {0, 1}) {
            const double took = timed([&] {
                bench.submit(which == 0 ? plain : *last, IoKind::read, 4096, n,
                             [&](std::uint64_t) { return engine() % blocks * block_bytes; });
            });
            if (round >= 0) seconds[which].push_back(took);
        }
    }
    print_row("reads after a chain of 1000 snapshots / without",
              median(seconds[0]) / median(seconds[1]), "", Wanted::at_least, 0.95,
              fmt::format("random, 4 KiB, {:.0f} ns each without", median(seconds[0]) / n * 1e9));
}

struct Row {
    const char* name;
    void (*run)();
};
constexpr Row rows[] = {{"lookup", lookup_rows},
                        {"memory", memory_rows},
                        {"provision", provision_rows},
                        {"snapshot", snapshot_rows},
                        {"chain", chain_rows}};

}  // namespace
}  // namespace thinvol

int main(int argc, char** argv) {
    fmt::print("| engine | measured | target | | |\n|---|---:|---:|---|---|\n");
    for (const auto& row : thinvol::rows) {
        bool chosen = argc == 1;
        for (int i = 1; i < argc; ++i) chosen = chosen || std::string(argv[i]) == row.name;
        if (chosen) row.run();
    }
    return 0;
}
