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

// Few metadata blocks stay in memory: what is looked up is read.
constexpr Workload cold = [] {
    Workload workload = mixed;
    workload.name = "cold";
    workload.cache_blocks = 0;
    workload.mapping_cache = Bytes(0);
    return workload;
}();

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
bool run_with_fault(Op op, bool on_metadata, std::uint64_t n, bool for_good, std::uint64_t seed,
                    const Workload& workload = mixed) {
    CAPTURE(workload.name, int(op), on_metadata, n, for_good, seed);
    SimRun run(workload, seed);
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

// What is durable is there no more when the pool looks for it.
void lose_metadata(PoolFixture& f) {
    must(f.pool->settle());
    std::fill_n(f.md.bytes().begin(), metadata_block_bytes, std::byte{1});
    f.pool->fail(Error(Errc::io_error, "planted"));
    f.run();
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

TEST_CASE("a metadata block that cannot be read, whichever, loses nothing that was promised") {
    for (const bool for_good : {false, true}) {
        for (const std::uint64_t seed : test_seeds(20)) {
            std::uint64_t n = 1;
            while (run_with_fault(Op::read, true, n, for_good, seed, cold)) n += 1 + n / 8;
            CHECK(n > 20);
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

TEST_CASE("a pool that lost its metadata answers each question with what happened to it") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    const Pool::Pin pin = must(f.pool->pin());
    lose_metadata(f);
    REQUIRE(f.pool->mode() == PoolMode::failed);
    const auto tells = [](const auto& answer) {
        REQUIRE_FALSE(answer.has_value());
        CHECK(answer.error().code == Errc::io_error);
        CHECK(answer.error().text.starts_with("planted; then superblock"));
    };
    const ThinId id = f.volume->id;
    tells(f.pool->open_volume(ThinId::checked(1), block_bytes, false));
    tells(f.pool->volume_use(id));
    tells(f.pool->volume_ids());
    tells(f.pool->own_blocks(id));
    tells(f.pool->set_bounds(id, {DataBlocks(3), {}}));
    tells(f.pool->pin());
    tells(f.pool->settle());
    f.pool->unpin(pin);
    must(f.pool->set_features({}));
    f.tick(2);
    CHECK(f.pool->mode() == PoolMode::failed);
    // A volume that is open stays so, for whoever has to close it.
    CHECK(must(f.pool->open_volume(id, block_bytes, false)) == f.volume);
    f.pool->close_volume(*f.volume);
    f.pool->close_volume(*f.volume);
    CHECK(f.pool->find_volume(id) == nullptr);
}

TEST_CASE("a pool that failed has what was durable: mappings, bounds, and no pins") {
    PoolFixture f;
    const ThinId id = f.volume->id;
    must(f.pool->set_bounds(id, {DataBlocks(3), {}}));
    f.start(IoKind::write, 0);
    f.start(IoKind::write, 1);
    must(f.pool->settle());
    const Pool::Pin pin = must(f.pool->pin());
    f.start(IoKind::write, 2);
    CHECK(must(f.pool->own_blocks(id)) == DataBlocks(3));
    const std::size_t modes = f.count(PoolEvent::Kind::mode);
    f.pool->fail(Error(Errc::io_error, "planted"));
    CHECK_FALSE(f.pool->status().committed);
    must(f.pool->set_features({}));  // does not make it one that is written
    CHECK(f.pool->mode() == PoolMode::read_only);
    f.run();
    CHECK(f.pool->status().committed);
    CHECK(f.pool->status().lost_changes);
    must(f.pool->set_features({}));  // nor now that needs_check is set
    CHECK(f.pool->mode() == PoolMode::read_only);
    CHECK(f.count(PoolEvent::Kind::mode) == modes + 1);
    CHECK(must(f.pool->own_blocks(id)) == DataBlocks(2));
    CHECK(must(f.pool->volume_use(id)).mapped == 2);
    CHECK(f.start(IoKind::read, 1)->buffer[0] == std::byte{7});
    CHECK(f.start(IoKind::read, 2)->buffer[0] == std::byte{0});
    f.pool->unpin(pin);  // it was of the pool before
    f.pool->unpin(must(f.pool->pin()));
    require_clean(f.md);
}

TEST_CASE("a pool that fails at any moment of an operation says of it what is on the disk") {
    std::size_t happened = 0;
    std::size_t turns = 0;
    for (bool over = false; !over; ++turns) {
        CAPTURE(turns);
        PoolFixture f;
        ApplyRequest create;
        create.operations = {CreateThin{ThinId::checked(1)}};
        create.from = f.pool->status().transaction_id;
        create.to = create.from.next();
        create.owner = &over;
        create.done = [](ApplyRequest& r) { *static_cast<bool*>(r.owner) = true; };
        f.pool->apply(create);
        for (std::size_t i = 0; i < turns; ++i) f.pool->run_once();
        const bool before = over;
        f.pool->fail(Error(Errc::io_error, "planted"));
        f.run();
        REQUIRE(over);
        over = before;
        auto anew = must(Pool::open(f.md, f.data, {}));
        const bool there = anew->status().transaction_id == create.to;
        CHECK(create.outcome.has_value() == there);
        CHECK(anew->volume_use(ThinId::checked(1)).has_value() == there);
        require_clean(f.md);
        happened += there ? 1 : 0;
    }
    CHECK(happened > 0);
    CHECK(happened < turns);
}

TEST_CASE("a volume that is not found after a failure refuses all, and can be closed") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    must(f.pool->settle());
    const MetadataBlock details = must(Superblock::read(f.md)).details_root;
    f.md.bytes()[details.n * metadata_block_bytes + 100] ^= std::byte{1};
    f.pool->fail(Error(Errc::io_error, "planted"));
    f.run();
    CHECK(f.pool->mode() == PoolMode::read_only);
    for (const IoKind kind : {IoKind::read, IoKind::write, IoKind::flush, IoKind::discard}) {
        CAPTURE(int(kind));
        const auto refused = f.start(kind, 0);
        REQUIRE(refused->done);
        CHECK(code_of(refused->request.outcome) == Errc::io_error);
        CHECK(refused->request.outcome.error().text == "thin id 0 is not in the pool: planted");
    }
    f.pool->close_volume(*f.volume);
    const auto again = f.pool->open_volume(ThinId::checked(0), block_bytes, false);
    REQUIRE_FALSE(again.has_value());
    CHECK(again.error().code == Errc::corrupt);
}

}  // namespace thinvol
