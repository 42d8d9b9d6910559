// Goal: a device that fails never makes the pool lie, and never damages what was durable (C8).
// Method: the nth write, flush or read of a run fails, for every n until the run ends unharmed;
// then the devices, as they are, are opened anew and judged as after a power cut.
#include "engine/pool.h"

#include "tests/support/pool_fixture.h"
#include "tests/support/sim_run.h"

namespace thinvol {
namespace {

constexpr Workload mixed{.name = "mixed",
                         .write = 40,
                         .fua = 6,
                         .flush = 10,
                         .discard = 5,
                         .zero = 4,
                         .read = 5,
                         .create = 2,
                         .snapshot = 4,
                         .remove = 2,
                         .trim = 1,
                         .commit = 4,
                         .data_blocks = 60};

struct Planted {
    std::uint64_t countdown;
    bool for_good;
    bool spent = false;
    std::optional<Error> operator()(const Request& request, Op op) {
        if (request.op != op) return std::nullopt;
        if (countdown > 1) {
            --countdown;
            return std::nullopt;
        }
        if (spent && !for_good) return std::nullopt;
        spent = true;
        return Error(Errc::io_error, "planted");
    }
};

// Runs with the nth request of that kind failing on that device. True if the fault was met.
bool run_with_fault(Op op, bool on_metadata, std::uint64_t n, bool for_good, std::uint64_t seed) {
    CAPTURE(int(op), on_metadata, n, for_good, seed);
    SimRun run(mixed, seed);
    Planted planted{n, for_good};
    SimDevice& device = on_metadata ? run.metadata() : run.data();
    device.set_fault([&](const Request& r) { return planted(r, op); });
    run.expect_errors();
    run.run(60);
    run.drain();
    device.set_fault(nullptr);
    if (planted.spent && op == Op::flush) {
        CHECK(run.pool().mode() >= PoolMode::read_only);
        CHECK_FALSE(run.pool().settle().has_value());
    }
    // Nothing more reaches the devices: what lies there now is judged by what was promised so far.
    run.verify_cut({run.metadata().image(), run.data().image()}, run.trace().position());
    for (const auto& text : run.failures()) UNSCOPED_INFO(text);
    REQUIRE(run.failures().empty());
    return planted.spent;
}

}  // namespace

TEST_CASE("one failed request, anywhere, loses nothing that was promised") {
    for (const bool for_good : {false, true}) {
        for (const bool on_metadata : {true, false}) {
            for (const Op op : {Op::write, Op::flush, Op::read}) {
                for (const std::uint64_t seed : test_seeds(2)) {
                    std::uint64_t n = 1;
                    while (run_with_fault(op, on_metadata, n, for_good, seed)) n += 1 + n / 8;
                    if (op != Op::read) CHECK(n > 1);  // metadata that fits the cache is read once
                }
            }
        }
    }
}

TEST_CASE("a flush that failed is not forgiven when the device recovers") {
    Trace trace;
    MemoryQueue md(Sectors(160 * 8));
    MemoryQueue data(Sectors(128 * 20));
    must(Pool::create(md, data, Sectors(128), {})).reset();
    SimDevice sim_md(trace, 0, md.bytes(), 1);
    SimDevice sim_data(trace, 1, data.bytes(), 2);
    auto pool = must(Pool::open(sim_md, sim_data, {}));
    ApplyRequest create;
    create.operations = {CreateThin{ThinId::checked(0)}};
    create.to = {1};
    bool created = false;
    create.owner = &created;
    create.done = [](ApplyRequest& r) { *static_cast<bool*>(r.owner) = true; };
    pool->apply(create);
    pool->run_until([&] { return created; });
    must(std::move(create.outcome));
    Volume* volume = must(pool->open_volume(ThinId::checked(0), Bytes(1 << 20), false));

    std::vector<std::byte> buffer(4096, std::byte(1));
    const auto request = [&](IoKind kind) {
        bool done = false;
        IoRequest io;
        io.kind = kind;
        io.volume = volume;
        io.length = Bytes(kind == IoKind::flush ? 0 : buffer.size());
        io.buffer = buffer.data();
        io.owner = &done;
        io.done = [](IoRequest& r) { *static_cast<bool*>(r.owner) = true; };
        pool->submit(io);
        pool->run_until([&] { return done; });
        REQUIRE(done);
        return std::move(io.outcome);
    };
    must(request(IoKind::write));
    sim_data.set_fault([](const Request& r) -> std::optional<Error> {
        if (r.op == Op::flush) return Error(Errc::io_error, "planted");
        return std::nullopt;
    });
    CHECK(request(IoKind::flush).error().code == Errc::io_error);
    sim_data.set_fault(nullptr);
    CHECK(request(IoKind::flush).error().code == Errc::io_error);
    CHECK(pool->mode() == PoolMode::read_only);
    CHECK(pool->status().needs_check);
    CHECK(request(IoKind::write).error().code == Errc::io_error);
    must(request(IoKind::read));
    pool->close_volume(*volume);
    pool = must(Pool::open(sim_md, sim_data, {}));
    CHECK(pool->mode() == PoolMode::read_only);
    CHECK(pool->status().needs_check);
    CHECK(pool->status().transaction_id == TransactionId{1});
}

TEST_CASE("a request that waits while the pool loses its metadata fails") {
    PoolFixture f;
    ApplyRequest snapshot;
    snapshot.operations = {CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}};
    snapshot.from = f.pool->status().transaction_id;
    snapshot.to = snapshot.from.next();
    f.pool->apply(snapshot);
    f.pool->run_once();  // the volume's gate is closed
    std::vector<std::byte> bytes(block_bytes.n);
    bool done = false;
    IoRequest write;
    write.kind = IoKind::write;
    write.volume = f.volume;
    write.length = block_bytes;
    write.buffer = bytes.data();
    write.owner = &done;
    write.done = [](IoRequest& r) { *static_cast<bool*>(r.owner) = true; };
    f.pool->submit(write);
    CHECK_FALSE(done);
    std::fill(f.md.bytes().begin(), f.md.bytes().begin() + metadata_block_bytes, std::byte{1});
    f.pool->fail(Error(Errc::io_error, "planted"));
    f.run();
    REQUIRE(done);
    CHECK(code_of(write.outcome) == Errc::io_error);
    CHECK(f.pool->mode() == PoolMode::failed);
}

}  // namespace thinvol
