// Goal: the defects that dm-thin and its tools had do not exist here: each has a test named after
// its number in tests/prove/README.md.
// Method: the smallest story in which each of them would show; the stories of some are elsewhere,
// under the same name.
#include "engine/base/crc32c.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/sim_run.h"

namespace thinvol {
namespace {

void require_none(const SimRun& run) {
    for (const auto& text : run.failures()) UNSCOPED_INFO(text);
    REQUIRE(run.failures().empty());
}

// Every boundary of a run, and what those cuts leave.
void require_survival(SimRun& run, std::function<CrashImages::Cut(const CrashImages&)> cut) {
    run.drain();
    CrashImages crash(run.trace(), run.initial_images());
    while (crash.step_to_boundary()) {
        crash.with(cut(crash), [&](CrashImages::Images& images, std::uint64_t) {
            run.look_at_cut(images, crash.position());
        });
        require_none(run);
    }
}

constexpr Workload busy{.name = "busy",
                        .write = 50,
                        .fua = 6,
                        .flush = 8,
                        .discard = 8,
                        .snapshot = 6,
                        .remove = 4,
                        .commit = 4,
                        .volume_blocks = 5};

PoolFeatures failing() {
    PoolFeatures features;
    features.error_if_no_space = true;
    return features;
}

Volume* open(PoolFixture& f, std::uint32_t id) {
    return must(
        f.pool->open_volume(ThinId::checked(id), Bytes(volume_blocks * block_bytes.n), false));
}

// What is mapped by metadata alone, for trees of several levels.
struct Trees {
    explicit Trees(std::uint64_t blocks = 2000)
        : device(Sectors(blocks * 8)),
          md(must(ThinMetadata::format(device, Sectors(128), DataBlocks(20000), {}))) {
        must(md->create_thin(ThinId::checked(0)));
    }
    ThinDevice& volume(std::uint32_t id) { return *must(md->device(ThinId::checked(id))); }
    void map(std::uint32_t id, std::uint64_t from, std::uint64_t to, std::uint64_t step = 1) {
        for (std::uint64_t at = from; at < to; at += step)
            must(md->insert(volume(id), VirtualBlock(at), must(md->reserve())));
    }
    void unmap(std::uint32_t id, std::uint64_t from, std::uint64_t to) {
        for (VirtualBlock at(from); at < VirtualBlock(to);)
            at = must(md->unmap(volume(id), at, VirtualBlock(to), ~0ULL));
    }
    void snapshot(std::uint32_t id, std::uint32_t origin) {
        must(md->create_snapshot(ThinId::checked(id), ThinId::checked(origin)));
    }
    std::uint64_t mapped(std::uint32_t id) {
        std::uint64_t n = 0;
        must(md->for_mappings(volume(id), VirtualBlock(0), VirtualBlock(~0ULL),
                              [&](VirtualBlock, const ThinMetadata::Found&) { return ++n > 0; }));
        return n;
    }
    void require_sound() {
        commit(*md, device);
        require_clean(device);
        REQUIRE(thin_check(device.bytes()).empty());
    }
    MemoryQueue device;
    std::unique_ptr<ThinMetadata> md;
};

}  // namespace

TEST_CASE("H1: after a metadata flush that failed no superblock is written") {
    for (std::uint64_t n = 1; n < 6; ++n) {
        CAPTURE(n);
        SimRun run(busy, 1);
        std::uint64_t flushes = 0;
        bool superblock = false;
        run.metadata().set_fault([&](const Request& r) -> std::optional<Error> {
            if (flushes == n && r.op == Op::write && r.at == Sector(0)) {
                // The one that says needs_check is the last good one's again.
                superblock = superblock || run.pool().mode() < PoolMode::read_only;
            }
            if (r.op != Op::flush || flushes == n || ++flushes < n) return std::nullopt;
            return Error(Errc::io_error, "planted");
        });
        run.expect_errors();
        run.run(120);
        run.drain();
        REQUIRE(flushes == n);
        CHECK_FALSE(superblock);
        CHECK(run.pool().mode() >= PoolMode::read_only);
        run.verify_cut({run.metadata().image(), run.data().image()}, run.trace().position());
        require_none(run);
    }
}

TEST_CASE("H2: metadata never point to data that only the data device's cache has") {
    for (const std::uint64_t seed : test_seeds(4)) {
        SimRun run(busy, seed);
        run.run(80);
        require_survival(run, [](const CrashImages& crash) {  // all metadata, no data
            CrashImages::Cut cut;
            for (std::size_t i = 0; i < crash.pending(); ++i)
                if (crash.pending_write(i).device == 0) cut.push_back(crash.piece(i));
            return cut;
        });
    }
}

TEST_CASE("H3: a whole block written with FUA is answered when its mapping is durable") {
    for (const std::uint64_t seed : test_seeds(4)) {
        SimRun run(busy, seed);
        for (std::uint64_t i = 0; i < 12; ++i) {
            if (i == 5) run.play({{.kind = Act::Kind::snapshot, .turns = 3}});
            run.play({{.kind = Act::Kind::write,
                       .at = i % 5 * 128,
                       .n = 128,
                       .fua = true,
                       .turns = static_cast<std::uint32_t>(seed)}});
        }
        require_survival(run, [](const CrashImages&) { return CrashImages::Cut(); });
    }
}

TEST_CASE("H4: a block is not given away while its discard below is under way") {
    Workload recycled = busy;
    recycled.discard = 40;
    recycled.data_blocks = 8;
    recycled.slowness = 9;  // of the data device: discards take long
    for (const std::uint64_t seed : test_seeds(8)) {
        SimRun run(recycled, seed);
        run.run(150);
        run.verify_live();
        require_none(run);
    }
}

TEST_CASE("H5: a discard in the origin leaves the snapshot's counts and mappings", "[S7t]") {
    Trees t;
    t.map(0, 0, 1500);
    t.snapshot(1, 0);
    t.require_sound();
    for (std::uint64_t at = 0; at < 1500; at += 300) {
        t.unmap(0, at, at + 140);
        t.require_sound();
        REQUIRE(t.mapped(1) == 1500);
    }
    CHECK(t.mapped(0) == 1500 - 5 * 140);
}

TEST_CASE("H6: a root of one entry collapses without losing a shared child", "[S7t]") {
    Trees t;
    t.map(0, 0, 1000);
    t.snapshot(1, 0);
    t.require_sound();
    for (std::uint64_t left = 1000; left > 0; left -= std::min<std::uint64_t>(left, 90)) {
        t.unmap(0, left - std::min<std::uint64_t>(left, 90), 1000);
        t.require_sound();
        REQUIRE(t.mapped(1) == 1000);
    }
    CHECK(t.mapped(0) == 0);
}

TEST_CASE("H7: a discard of a part of a shared block reaches neither volume nor device") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    must(f.operation(CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}));
    IoRequest part;
    part.kind = IoKind::discard;
    part.volume = f.volume;
    part.offset = ByteOffset(4096);
    part.length = Bytes(8192);
    must(submit_now(*f.pool, part));
    must(f.pool->settle());
    for (const std::uint32_t id : {0U, 1U}) {
        f.volume = open(f, id);
        const auto read = f.start(IoKind::read, 0);
        CHECK(read->buffer == std::vector<std::byte>(block_bytes.n, std::byte{7}));
    }
    CHECK(f.pool->status().data_used == DataBlocks(1));
    require_clean(f.md);
}

TEST_CASE("H9: metadata grow by any number of blocks, and none is lost", "[S21]") {
    for (std::uint64_t by = 1; by < 70; ++by) {
        CAPTURE(by);
        PoolFixture f({}, 16, 128);
        f.start(IoKind::write, 0);
        for (std::uint64_t size = 128 + by; size < 128 + 4 * by; size += by) {
            f.md.grow(Sectors(size * 8));
            must(f.operation(GrowMetadata{MetadataBlocks(size)}));
            must(f.pool->settle());
            require_clean(f.md);
            REQUIRE(f.pool->status().metadata_size == MetadataBlocks(size));
        }
    }
    // Across the end of the first bitmap.
    PoolFixture f({}, 16, 16320 - 3);
    for (std::uint64_t size = 16320 - 2; size < 16320 + 4; ++size) {
        f.md.grow(Sectors(size * 8));
        must(f.operation(GrowMetadata{MetadataBlocks(size)}));
        require_clean(f.md);
    }
}

TEST_CASE("H10: running out of metadata drops no transaction") {
    Workload workload = busy;
    workload.snapshot = 20;
    workload.metadata_blocks = 128;
    for (std::uint32_t taken = 40; taken < 100; ++taken) {
        CAPTURE(taken);
        workload.ballast = taken;
        SimRun run(workload, taken);
        run.run(60);
        run.verify_live();
        require_none(run);
        REQUIRE(run.pool().mode() < PoolMode::read_only);
    }
}

TEST_CASE("H11: running out of data drops no transaction, and does not make a pool read-only") {
    for (std::uint64_t blocks = 1; blocks < 20; ++blocks) {
        CAPTURE(blocks);
        Workload workload = busy;
        workload.data_blocks = blocks;
        SimRun run(workload, blocks);
        run.run(60);
        run.verify_live();
        require_none(run);
        REQUIRE(run.pool().mode() < PoolMode::read_only);
    }
}

TEST_CASE("H13: in a full pool a discard unmaps and frees") {
    PoolFixture f(failing());
    f.fill_data();
    REQUIRE_FALSE(f.start(IoKind::write, f.next)->request.outcome.has_value());
    REQUIRE(f.pool->mode() == PoolMode::out_of_data_space);
    REQUIRE(f.start(IoKind::discard, 3, 2)->request.outcome.has_value());
    must(f.pool->settle());
    CHECK(f.pool->status().data_used == DataBlocks(14));
    CHECK(must(f.pool->volume_use(ThinId::checked(0))).mapped == 14);
    require_clean(f.md);
}

TEST_CASE("H15: filled and trimmed in a loop, a pool never says that it is full") {
    PoolFixture f(failing());
    for (int round = 0; round < 200; ++round) {
        CAPTURE(round);
        const auto write = f.start(IoKind::write, 0, 16);
        REQUIRE(write->done);
        REQUIRE(write->request.outcome.has_value());
        if (round % 2 == 0) {
            REQUIRE(f.start(IoKind::discard, 0, 16)->request.outcome.has_value());
        } else {
            must(f.operation(TrimThin{ThinId::checked(0), VirtualBlock(0)}));
        }
    }
    CHECK(f.pool->mode() == PoolMode::write);
}

TEST_CASE("H16: a range is unmapped whatever gaps its mappings have", "[S7t]") {
    for (const std::uint64_t step : {1U, 2U, 3U, 7U, 100U, 255U}) {
        CAPTURE(step);
        Trees t;
        t.map(0, 0, 2000, step);
        t.map(0, 1000, 1040);
        t.unmap(0, 13, 1790);
        t.require_sound();
        std::uint64_t expected = 0;
        for (std::uint64_t at = 0; at < 2000; at += step) expected += at < 13 || at >= 1790 ? 1 : 0;
        CHECK(t.mapped(0) == expected);
    }
}

TEST_CASE("H17: a metadata snapshot is a commit's, and stays while the pool goes on") {
    Workload workload = busy;
    workload.hold = 12;
    workload.release = 8;
    for (const std::uint64_t seed : test_seeds(3)) {
        SimRun run(workload, seed);
        run.run(80);
        require_survival(run, [](const CrashImages& crash) {
            Random random(crash.position());
            return crash.choose(CrashPolicy::random, random);
        });
    }
    PoolFixture f;
    f.start(IoKind::write, 0);  // not committed
    must(f.operation(ReserveMetadataSnapshot{}));
    for (std::uint64_t at = 1; at < 8; ++at) f.start(IoKind::write, at);
    must(f.pool->settle());
    CheckOptions held;
    held.scope = CheckOptions::Scope::metadata_snapshot;
    const CheckReport report = must(check_metadata(f.md, held));
    CHECK(report.clean());
    CHECK(report.mappings == 1);
}

TEST_CASE("H20: what fails in a pool that failed already changes nothing more") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    must(f.pool->settle());
    std::fill(f.md.bytes().begin(), f.md.bytes().begin() + metadata_block_bytes, std::byte{1});
    for (int again = 0; again < 3; ++again) {
        f.pool->fail(Error(Errc::io_error, "planted"));
        f.run();
        CHECK(f.pool->mode() == PoolMode::failed);
        CHECK(code_of(f.start(IoKind::write, 1)->request.outcome) == Errc::io_error);
        CHECK(code_of(f.start(IoKind::read, 0)->request.outcome) == Errc::io_error);
        CHECK(code_of(f.operation(CreateThin{ThinId::checked(7)})) == Errc::read_only);
        must(f.pool->set_features(failing()));
        f.tick(2);
        CHECK_FALSE(f.pool->settle().has_value());
    }
    f.pool->close_volume(*f.volume);
    CHECK_FALSE(f.pool->open_volume(ThinId::checked(0), block_bytes, false).has_value());
}

TEST_CASE("H21: a node that contradicts itself is an error") {
    Trees t;
    t.map(0, 0, 600);
    t.require_sound();
    const std::vector<std::byte> good = t.device.bytes();
    for (std::uint64_t b = 1; b < 60; ++b) {
        std::byte* const node = t.device.bytes().data() + b * metadata_block_bytes;
        const ConstBlockBytes bytes(node, metadata_block_bytes);
        if (load_le<std::uint32_t>(node) != checksum_of(BlockKind::mapping_node, bytes)) continue;
        for (const std::size_t field : {4U, 16U, 20U, 24U}) {
            for (const std::uint32_t value : {0U, 3U, 9999U, ~0U}) {
                CAPTURE(b, field, value);
                store_le<std::uint32_t>(node + field, value);
                store_le(node, checksum_of(BlockKind::mapping_node, bytes));
                const auto opened = ThinMetadata::open(t.device, {});
                const bool reads = opened && [&] {
                    const auto volume = (*opened)->device(ThinId::checked(0));
                    if (!volume) return false;
                    for (std::uint64_t at = 0; at < 600; at += 50)
                        if (!(*opened)->lookup(**volume, VirtualBlock(at))) return false;
                    return true;
                }();
                const auto report = check_metadata(t.device);
                CHECK((reads || (report && !report->clean())));
                t.device.bytes() = good;
            }
        }
    }
}

TEST_CASE("H23: a pool that was opened and closed has the same bytes") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    must(f.operation(CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}));
    must(f.pool->settle());
    f.pool->close_volume(*f.volume);
    const std::vector<std::byte> md = f.md.bytes();
    const std::vector<std::byte> data = f.data.bytes();
    for (int again = 0; again < 3; ++again) {
        f.pool = must(Pool::open(f.md, f.data, {}));
        f.volume = open(f, 0);
        REQUIRE(f.start(IoKind::read, 0)->request.outcome.has_value());
        REQUIRE(f.start(IoKind::flush, 0)->request.outcome.has_value());
        f.tick(3);
        must(f.pool->settle());
        f.pool->close_volume(*f.volume);
        CHECK(f.md.bytes() == md);
        CHECK(f.data.bytes() == data);
    }
}

TEST_CASE("H25: a snapshot of a volume in use is one instant of it") {
    Workload instants = busy;
    instants.snapshot = 16;
    instants.read = 15;
    instants.volume_blocks = 2;
    instants.slowness = 6;
    for (const std::uint64_t seed : test_seeds(6)) {
        SimRun run(instants, seed);
        run.run(200);
        run.verify_live();
        require_none(run);
    }
}

TEST_CASE("H27: space that is lost in the metadata does not keep a pool from being used") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    must(f.pool->settle());
    f.pool->close_volume(*f.volume);
    f.pool.reset();
    // A count of a block that nothing refers to.
    auto md = must(ThinMetadata::open(f.md, {}));
    must(md->create_thin(ThinId::checked(5)));
    const CheckReport sound = must(check_metadata(f.md));
    const DataBlock leaked = must(md->reserve());
    must(const_cast<DataSpaceMap&>(md->data()).increment(leaked));
    commit(*md, f.md);
    md.reset();
    const CheckReport report = must(check_metadata(f.md));
    REQUIRE(sound.clean());
    REQUIRE(report.leaks == 1);
    CHECK(report.damages + report.wrong_counts == 0);
    f.pool = must(Pool::open(f.md, f.data, {}));
    CHECK(f.pool->mode() == PoolMode::write);
    f.volume = open(f, 0);
    CHECK(f.start(IoKind::write, 1)->request.outcome.has_value());
    must(f.pool->settle());
}

}  // namespace thinvol
