// What the engine itself costs, without disks: measured against the targets, as a markdown table.
//
//     engine_bench [ROW]...        rows: lookup, provision, snapshot, chain, memory; all by default
//
// Goal    a target that is missed is printed as missed, with where the time goes; the exit status
//         says nothing about speed.
// Method  metadata on a device in memory, data on one that takes everything and keeps nothing.
//         Times are the processor's time of the thread, so that other programs count as little as
//         may be; medians of rounds after one to warm up; what is compared takes turns. Lookups
//         depend on each other, so that each is waited for.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
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
            must(pool_->settle());
        }
    }

private:
    MemoryQueue metadata_;
    EmptyQueue data_;
    std::unique_ptr<Pool> pool_;
    std::array<IoRequest, 32> slots_;
    alignas(4096) std::array<std::byte, block_bytes> buffer_{};
};

// --- rows ----------------------------------------------------------------------------------------

constexpr std::uint64_t hot_blocks = 1 << 20;

// A walk over all of a volume's blocks in no order; each step needs the one before it.
std::uint64_t walk(ThinMetadata& md, const ThinDevice& device, std::uint64_t at, std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) {
        const auto found = md.lookup(device, VirtualBlock((at >> 32) % hot_blocks));
        at = at * 6364136223846793005ULL + (*found)->block.n + 1442695040888963407ULL;
    }
    return at;
}

void lookup_rows() {
    Bench bench(MetadataBlocks(16384), DataBlocks(2 * hot_blocks));
    Volume& volume = bench.create(1);
    bench.fill(volume, 0, hot_blocks);
    ThinMetadata& md = bench.pool().metadata();
    constexpr std::uint64_t n = 1000000;
    std::uint64_t at = walk(md, *volume.device, 1, 4 * n);
    std::vector<double> one;
    for (int i = 0; i < rounds; ++i)
        one.push_back(timed([&] { at = walk(md, *volume.device, at, n); }));
    print_row("mapped lookup, hot, one thread", median(one) / n * 1e9, "ns", Wanted::at_most, 100,
              fmt::format("{} Mi mappings, in no order (ended at {})", hot_blocks >> 20, at % 10));
}

void provision_rows() {
    constexpr std::uint64_t n = 200000;
    std::vector<double> sequential;
    std::vector<double> random;
    std::mt19937_64 engine(1);
    for (int round = 0; round <= rounds; ++round) {
        Bench bench(MetadataBlocks(65536), DataBlocks(2 * n));
        Volume& a = bench.create(1);
        Volume& b = bench.create(2);
        const double in_order = timed([&] { bench.fill(a, 0, n); });
        std::vector<std::uint64_t> order(n);
        for (std::uint64_t i = 0; i < n; ++i) order[i] = i * 16;
        std::shuffle(order.begin(), order.end(), engine);
        const double anywhere = timed([&] {
            for (std::uint64_t i = 0; i < n; i += commit_every) {
                bench.submit(b, IoKind::write, block_bytes, commit_every,
                             [&](std::uint64_t k) { return order[i + k] * block_bytes; });
                must(bench.pool().settle());
            }
        });
        if (round == 0) continue;
        sequential.push_back(n / in_order);
        random.push_back(n / anywhere);
    }
    print_row("provision, sequential, commit every 1000", median(sequential), "blocks/s",
              Wanted::at_least, 500000, "whole blocks of 64 KiB through the pool, one thread");
    print_row("provision, random, commit every 1000", median(random), "blocks/s", Wanted::shown, 0,
              "one block in 16 of the volume");
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
