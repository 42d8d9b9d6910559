// Goal: in each mode a pool does exactly what that mode allows, says so at once, and comes back
// from it by what brings space.
// Method: a table of modes times operations over devices in memory, each pool brought into its mode
// by what brings it there in life; then single stories of waiting, growing and giving up.
#include <map>

#include "engine/kernel_status.h"
#include "engine/run_now.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/sim_run.h"
#include "tests/support/sparse_queue.h"

namespace thinvol {
namespace {

PoolFeatures failing() {
    PoolFeatures features;
    features.error_if_no_space = true;
    return features;
}

// Fills the metadata by snapshots, which share a leaf until each gets its own. Returns the write
// that found no room.
std::unique_ptr<PoolFixture::Started> fill_metadata(PoolFixture& f) {
    constexpr std::uint32_t snapshots = 150;
    for (std::uint32_t id = 1; id <= snapshots; ++id)
        must(f.operation(CreateSnapshot{ThinId::checked(id), ThinId::checked(0)}));
    Volume* const first = f.volume;
    std::unique_ptr<PoolFixture::Started> last;
    for (std::uint32_t id = 1; id <= snapshots && f.pool->mode() == PoolMode::write; ++id) {
        f.volume = must(
            f.pool->open_volume(ThinId::checked(id), Bytes(volume_blocks * block_bytes.n), false));
        last = f.start(IoKind::write, 0);
    }
    f.volume = first;
    return last;
}

std::unique_ptr<PoolFixture> in_mode(PoolMode mode) {
    switch (mode) {
        case PoolMode::write: {
            auto f = std::make_unique<PoolFixture>(failing());
            f->start(IoKind::write, 0);
            f->next = 1;
            return f;
        }
        case PoolMode::out_of_data_space: {
            auto f = std::make_unique<PoolFixture>(failing());
            f->fill_data();
            REQUIRE_FALSE(f->start(IoKind::write, f->next)->request.outcome.has_value());
            return f;
        }
        case PoolMode::out_of_metadata_space: {
            auto f = std::make_unique<PoolFixture>(failing(), 400, 128);
            f->start(IoKind::write, 0);
            fill_metadata(*f);
            f->volume = f->pool->find_volume(ThinId::checked(1));  // its block is its own
            return f;
        }
        case PoolMode::read_only: {
            auto f = in_mode(PoolMode::write);
            PoolFeatures features = f->pool->features();
            features.read_only = true;
            must(f->pool->set_features(features));
            return f;
        }
        case PoolMode::failed: {
            auto f = in_mode(PoolMode::write);
            must(f->pool->settle());
            f->pool->fail(Error(Errc::io_error, "planted"));
            std::fill(f->md.bytes().begin(), f->md.bytes().begin() + metadata_block_bytes,
                      std::byte{1});
            f->run();
            return f;
        }
    }
    return nullptr;
}

constexpr Errc fine{};

// Carries it out in that pool; what came of it.
Errc outcome_of(const std::string& what, PoolFixture& f) {
    const auto io = [&](IoKind kind, std::uint64_t at, bool fua = false, bool kept = false) {
        IoRequest request;
        std::vector<std::byte> buffer(block_bytes.n, std::byte{9});
        request.kind = kind;
        request.volume = f.volume;
        request.offset = ByteOffset(at * block_bytes.n);
        request.length = kind == IoKind::flush ? Bytes(0) : block_bytes;
        request.buffer = buffer.data();
        request.fua = fua;
        request.keep_allocated = kept;
        return code_of(submit_now(*f.pool, request));
    };
    const ThinId id = f.volume->id;
    const ThinId none = ThinId::checked(5000);
    const std::uint64_t nowhere = volume_blocks - 1;
    if (what == "read") return io(IoKind::read, 0);
    if (what == "read unmapped") return io(IoKind::read, nowhere);
    if (what == "overwrite") return io(IoKind::write, 0);
    if (what == "overwrite, durable") return io(IoKind::write, 0, true);
    if (what == "new block") return io(IoKind::write, nowhere);
    if (what == "new block of zeroes") return io(IoKind::write_zeroes, nowhere, false, true);
    if (what == "discard") return io(IoKind::discard, 0);
    if (what == "discard unmapped") return io(IoKind::discard, nowhere);
    if (what == "zero") return io(IoKind::write_zeroes, 0);
    if (what == "zero unmapped") return io(IoKind::write_zeroes, nowhere);
    if (what == "flush") return io(IoKind::flush, 0);
    if (what == "create") return code_of(f.operation(CreateThin{ThinId::checked(1000)}));
    if (what == "create again") return code_of(f.operation(CreateThin{id}));
    if (what == "snapshot") return code_of(f.operation(CreateSnapshot{ThinId::checked(1001), id}));
    if (what == "snapshot of none")
        return code_of(f.operation(CreateSnapshot{ThinId::checked(1001), none}));
    if (what == "metadata snapshot") return code_of(f.operation(ReserveMetadataSnapshot{}));
    if (what == "delete none") return code_of(f.operation(RemoveThin{none}));
    if (what == "delete in use") return code_of(f.operation(RemoveThin{id}));
    if (what == "trim") return code_of(f.operation(TrimThin{id, VirtualBlock(1)}));
    if (what == "grow data") {
        f.data.grow(block * 500);
        return code_of(f.operation(GrowData{DataBlocks(500)}));
    }
    if (what == "grow metadata") {
        f.md.grow(Sectors(300 * 8));
        return code_of(f.operation(GrowMetadata{MetadataBlocks(300)}));
    }
    const TransactionId now = f.pool->status().transaction_id;
    if (what == "wrong transaction")
        return code_of(apply_now(*f.pool, {CreateThin{none}}, now.next(), now.next().next()));
    REQUIRE(what == "delete");
    f.pool->close_volume(*f.volume);
    return code_of(f.operation(RemoveThin{id}));
}

}  // namespace

TEST_CASE("each mode times each operation", "[S20]") {
    using enum PoolMode;
    struct Row {
        const char* what;
        std::map<PoolMode, Errc> expected;
    };
    const Errc io = Errc::io_error;
    const Errc full = Errc::out_of_space;
    const Errc ro = Errc::read_only;
    const auto refused = [&](Errc code) {
        return std::map<PoolMode, Errc>{{write, code},
                                        {out_of_data_space, code},
                                        {out_of_metadata_space, code},
                                        {read_only, ro},
                                        {failed, ro}};
    };
    const std::map<PoolMode, Errc> new_block{
        {out_of_data_space, full}, {out_of_metadata_space, full}, {read_only, io}, {failed, io}};
    const std::map<PoolMode, Errc> new_volume{
        {out_of_metadata_space, full}, {read_only, ro}, {failed, ro}};
    const std::map<PoolMode, Errc> change{{read_only, ro}, {failed, ro}};
    // What is not listed succeeds.
    const std::vector<Row> rows{
        {"read", {{failed, io}}},
        {"read unmapped", {{failed, io}}},
        {"overwrite", {{failed, io}}},
        {"overwrite, durable", {{failed, io}}},
        {"new block", new_block},
        {"new block of zeroes", new_block},
        {"discard", {{failed, io}}},
        {"discard unmapped", {{failed, io}}},
        {"zero", {{read_only, io}, {failed, io}}},
        {"zero unmapped", {{read_only, io}, {failed, io}}},
        {"flush", {{failed, io}}},
        {"create", new_volume},
        {"create again", refused(Errc::exists)},
        {"snapshot", new_volume},
        {"snapshot of none", refused(Errc::not_found)},
        {"metadata snapshot", new_volume},
        {"delete", change},
        {"delete none", refused(Errc::not_found)},
        {"delete in use", refused(Errc::busy)},
        {"trim", change},
        {"grow data", change},
        {"grow metadata", change},
        {"wrong transaction", refused(Errc::invalid_argument)},
    };
    for (PoolMode mode : {write, out_of_data_space, out_of_metadata_space, read_only, failed}) {
        for (const Row& row : rows) {
            CAPTURE(name_of(mode), row.what);
            auto f = in_mode(mode);
            REQUIRE(f->pool->mode() == mode);
            const Errc got = outcome_of(row.what, *f);
            const auto expected = row.expected.find(mode);
            CHECK(got == (expected == row.expected.end() ? fine : expected->second));
            if (mode != failed && f->pool->settle()) require_clean(f->md);
        }
    }
}

TEST_CASE("the status line is the kernel's, in each mode", "[S20]") {
    const auto line = [](const PoolFixture& f) {
        return pool_status_line(f.pool->status(), f.pool->features());
    };
    auto f = std::make_unique<PoolFixture>();
    must(f->pool->settle());
    CHECK(line(*f).ends_with("/160 0/16 - rw discard_passdown queue_if_no_space - 40"));
    CHECK(line(*in_mode(PoolMode::out_of_data_space))
              .ends_with("16/16 - out_of_data_space discard_passdown error_if_no_space - 40"));
    CHECK(line(*in_mode(PoolMode::out_of_metadata_space))
              .find(" - ro discard_passdown error_if_no_space - 32") != std::string::npos);
    CHECK(line(*in_mode(PoolMode::read_only))
              .ends_with("1/16 - ro discard_passdown error_if_no_space - 40"));
    CHECK(line(*in_mode(PoolMode::failed)) == "Fail");
}

TEST_CASE("writes to a full pool wait, and go on when it grows", "[S20]") {
    PoolFixture f;
    f.fill_data();
    const auto waiting = f.start(IoKind::write, f.next);
    CHECK_FALSE(waiting->done);
    CHECK(f.pool->mode() == PoolMode::out_of_data_space);
    f.data.grow(block * 32);
    must(f.operation(GrowData{DataBlocks(32)}));
    f.run();
    CHECK(waiting->done);
    CHECK(waiting->request.outcome.has_value());
    CHECK(f.pool->mode() == PoolMode::write);
    CHECK(f.count(PoolEvent::Kind::mode) == 2);
}

TEST_CASE("H14: writes to a full pool wait, and go on when a discard or a removal frees blocks",
          "[S20]") {
    for (const bool removal : {false, true}) {
        CAPTURE(removal);
        PoolFixture f;
        must(f.operation(CreateThin{ThinId::checked(1)}));
        Volume* other = must(f.pool->open_volume(ThinId::checked(1), block_bytes, false));
        Volume* first = std::exchange(f.volume, other);
        REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
        f.volume = first;
        f.fill_data();
        const auto waiting = f.start(IoKind::write, f.next);
        REQUIRE_FALSE(waiting->done);
        if (removal) {
            f.pool->close_volume(*other);
            must(f.operation(RemoveThin{ThinId::checked(1)}));
            f.run();
        } else {
            f.volume = other;
            REQUIRE(f.start(IoKind::discard, 0)->request.outcome.has_value());
        }
        CHECK(waiting->done);
        CHECK(waiting->request.outcome.has_value());
        must(f.pool->settle());
        require_clean(f.md);
    }
}

TEST_CASE("H12: a write that waits gives up after the pool's timeout, and later ones at once",
          "[S20]") {
    PoolFeatures features;
    features.no_space_timeout = std::chrono::seconds(5);
    PoolFixture f(features);
    f.fill_data();
    const auto waiting = f.start(IoKind::write, f.next);
    f.tick(5);
    CHECK_FALSE(waiting->done);
    CHECK(f.pool->status().writes_wait_for_space);
    f.tick(1);
    REQUIRE(waiting->done);
    CHECK(code_of(waiting->request.outcome) == Errc::out_of_space);
    CHECK(f.count(PoolEvent::Kind::no_space_timeout) == 1);
    CHECK_FALSE(f.pool->status().writes_wait_for_space);
    CHECK_FALSE(f.pool->features().error_if_no_space);  // what the user asked for stays
    CHECK(code_of(f.start(IoKind::write, f.next)->request.outcome) == Errc::out_of_space);
    // Room sets everything back.
    REQUIRE(f.start(IoKind::discard, 0)->request.outcome.has_value());
    f.tick(1);
    CHECK(f.pool->mode() == PoolMode::write);
    CHECK(f.pool->status().writes_wait_for_space);
    REQUIRE(f.start(IoKind::write, f.next)->request.outcome.has_value());
}

TEST_CASE("a timeout of 0 waits for ever; a change of features ends the wait", "[S20]") {
    PoolFeatures features;
    features.no_space_timeout = std::chrono::seconds(0);
    PoolFixture f(features);
    f.fill_data();
    const auto waiting = f.start(IoKind::write, f.next);
    f.tick(3000);
    CHECK_FALSE(waiting->done);
    features.error_if_no_space = true;
    must(f.pool->set_features(features));
    f.run();
    REQUIRE(waiting->done);
    CHECK(code_of(waiting->request.outcome) == Errc::out_of_space);
}

TEST_CASE("writes that wait for metadata go on when the metadata device grows", "[S20]") {
    PoolFixture f({}, 400, 128);
    f.start(IoKind::write, 0);
    const auto waiting = fill_metadata(f);
    REQUIRE_FALSE(waiting->done);
    CHECK(f.pool->mode() == PoolMode::out_of_metadata_space);
    f.md.grow(to_sectors(Bytes(512 * metadata_block_bytes)));
    must(f.operation(GrowMetadata{MetadataBlocks(512)}));
    f.run();
    REQUIRE(waiting->done);
    CHECK(waiting->request.outcome.has_value());
    CHECK(f.pool->mode() == PoolMode::write);
    must(f.pool->settle());
    require_clean(f.md);
}

TEST_CASE("a snapshot does not wait for a write that waits for space", "[S20]") {
    PoolFixture f;
    f.fill_data();
    const auto waiting = f.start(IoKind::write, f.next);
    REQUIRE_FALSE(waiting->done);
    must(f.operation(CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}));
    CHECK_FALSE(waiting->done);
}

TEST_CASE("H22: low water marks and fill levels are told once, and again after they were left",
          "[S20]") {
    PoolFeatures features;
    features.low_water = DataBlocks(4);
    features.fill_levels = {50, 90};
    PoolFixture f(features, 20);
    const auto fill_to = [&](std::uint64_t used) {
        while (f.pool->status().data_used.n < used) f.start(IoKind::write, f.next++);
    };
    fill_to(9);
    CHECK(f.count(PoolEvent::Kind::data_level) == 0);
    fill_to(10);
    CHECK(f.count(PoolEvent::Kind::data_level) == 1);
    CHECK(f.events.back().percent == 50);
    fill_to(15);
    CHECK(f.count(PoolEvent::Kind::data_low_water) == 0);
    fill_to(16);
    CHECK(f.count(PoolEvent::Kind::data_low_water) == 1);
    fill_to(20);
    CHECK(f.count(PoolEvent::Kind::data_level) == 2);
    CHECK(f.count(PoolEvent::Kind::data_low_water) == 1);
    for (std::uint64_t at = 0; at < 15; ++at) f.start(IoKind::discard, at);
    must(f.pool->settle());
    f.run();
    fill_to(20);
    CHECK(f.count(PoolEvent::Kind::data_level) == 4);
    CHECK(f.count(PoolEvent::Kind::data_low_water) == 2);
}

TEST_CASE("features change in use, but for whether discards are ignored", "[S20]") {
    PoolFixture f;
    PoolFeatures features;
    features.discards = Discards::ignore;
    CHECK(code_of(f.pool->set_features(features)) == Errc::busy);
    CHECK(f.pool->features() == PoolFeatures());
    features.discards = Discards::nopassdown;
    features.zero_new_blocks = false;
    must(f.pool->set_features(features));
    std::fill(f.data.bytes().begin(), f.data.bytes().end(), std::byte{9});
    // Not zeroed: what the device holds shows around the written part.
    auto s = f.start(IoKind::write, 0);
    IoRequest small;
    small.kind = IoKind::write;
    small.volume = f.volume;
    small.offset = ByteOffset(block_bytes.n);
    small.length = Bytes(4096);
    small.buffer = s->buffer.data();
    must(submit_now(*f.pool, small));
    const auto read = f.start(IoKind::read, 1);
    CHECK(read->buffer[0] == std::byte{7});
    CHECK(read->buffer[8192] == std::byte{9});
    // Not passed down: the block's bytes stay on the device.
    f.start(IoKind::discard, 1);
    must(f.pool->settle());
    CHECK(std::count(f.data.bytes().begin(), f.data.bytes().end(), std::byte{0}) == 0);
    f.pool->close_volume(*f.volume);
    features.discards = Discards::ignore;
    must(f.pool->set_features(features));
    f.volume = must(f.pool->open_volume(ThinId::checked(0), Bytes(volume_blocks * 65536), false));
    REQUIRE(f.start(IoKind::discard, 0)->request.outcome.has_value());
    CHECK(must(f.pool->volume_use(ThinId::checked(0))).mapped == 1);
}

TEST_CASE("a pool that its features made read-only is written again when they change", "[S20]") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    PoolFeatures features;
    features.read_only = true;
    for (int again = 0; again < 2; ++again) {
        must(f.pool->set_features(features));
        CHECK(f.pool->mode() == PoolMode::read_only);
        CHECK(f.pool->status().trouble == "it was made so by its features");
        CHECK(code_of(f.start(IoKind::write, 1)->request.outcome) == Errc::io_error);
        CHECK(f.start(IoKind::read, 0)->buffer[0] == std::byte{7});
    }
    CHECK(f.count(PoolEvent::Kind::mode) == 1);
    must(f.pool->set_features({}));
    CHECK(f.pool->mode() == PoolMode::write);
    CHECK(f.count(PoolEvent::Kind::mode) == 2);
    CHECK(f.start(IoKind::write, 1)->request.outcome.has_value());
    must(f.pool->settle());
    CHECK(must(f.pool->volume_use(f.volume->id)).mapped == 2);
    require_clean(f.md);
}

TEST_CASE("a trim that full metadata have no room for at once is done in several commits",
          "[S20]") {
    MemoryQueue md(Sectors(128 * 8));
    SparseQueue data(block * 16000);
    PoolFeatures features = failing();
    features.zero_new_blocks = false;
    auto pool = must(Pool::create(md, data, block, {features}));
    const ThinId id = ThinId::checked(0);
    must(apply_now(*pool, {CreateThin{id}}, {0}, {1}));
    Volume* volume = must(pool->open_volume(id, Bytes(1ULL << 40), false));
    std::vector<std::byte> bytes(512, std::byte{5});
    const auto write = [&](std::uint64_t n) {
        IoRequest request;
        request.kind = IoKind::write;
        request.volume = volume;
        request.offset = ByteOffset(n * 100 * block_bytes.n);
        request.length = Bytes(bytes.size());
        request.buffer = bytes.data();
        return submit_now(*pool, request);
    };
    std::uint64_t mapped = 0;
    while (write(mapped)) ++mapped;
    CHECK(pool->mode() == PoolMode::out_of_metadata_space);
    must(pool->settle());
    const std::uint64_t commits = pool->status().commits;
    must(apply_now(*pool, {TrimThin{id, VirtualBlock(150)}}, {1}, {2}));
    CHECK(pool->status().commits > commits + 1);
    CHECK(pool->status().transaction_id == TransactionId{2});
    must(pool->settle());
    CHECK(must(pool->volume_use(id)).mapped == 2);
    CHECK(pool->status().data_used == DataBlocks(2));
    CHECK(pool->mode() == PoolMode::write);
    require_clean(md);
    pool->close_volume(*volume);
}

TEST_CASE("a pool grows as far as its devices reach, and not by what it has", "[S20]") {
    struct Row {
        PoolOperation operation;
        const char* refused;  // empty: taken
    };
    const std::vector<Row> rows{
        {GrowData{DataBlocks(17)}, "the data device has 16 blocks, not 17"},
        {GrowMetadata{MetadataBlocks(161)}, "the metadata device has 160 blocks, not 161"},
        {GrowData{DataBlocks(16)}, ""},
        {GrowData{DataBlocks(2)}, ""},
        {GrowMetadata{MetadataBlocks(160)}, ""},
        {GrowMetadata{MetadataBlocks(2)}, ""},
    };
    PoolFixture f;
    must(f.pool->settle());
    const PoolStatus before = f.pool->status();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        CAPTURE(i);
        const auto outcome = f.operation(rows[i].operation);
        CHECK(outcome.has_value() == std::string_view(rows[i].refused).empty());
        if (!outcome) {
            CHECK(outcome.error().code == Errc::invalid_argument);
            CHECK(outcome.error().text == rows[i].refused);
        }
        const PoolStatus after = f.pool->status();
        CHECK(after.mode == PoolMode::write);
        CHECK(after.data_size == before.data_size);
        CHECK(after.metadata_size == before.metadata_size);
        CHECK(after.commits == before.commits);
    }
}

TEST_CASE("discards are passed down no faster than the pool's rate", "[S20]") {
    PoolFeatures features;
    features.discard_rate = Bytes(2 * block_bytes.n);
    PoolFixture f(features, 64);
    for (std::uint64_t at = 0; at < 64; ++at) f.start(IoKind::write, at);
    must(f.pool->settle());
    f.tick(1);
    f.pool->close_volume(*f.volume);
    must(f.operation(TrimThin{ThinId::checked(0), VirtualBlock(0)}));
    const auto punched = [&] {
        return 64 - std::count(f.data.bytes().begin(), f.data.bytes().end(), std::byte{7}) / 65536;
    };
    f.run();
    const auto at_once = punched();
    CHECK(at_once < 64);
    for (int i = 0; i < 100 && punched() < 64; ++i) f.tick(1);
    CHECK(punched() == 64);
    CHECK(must(f.pool->volume_use(ThinId::checked(0))).mapped == 0);
}

TEST_CASE("several snapshots are made at one instant, in one transaction", "[S20]") {
    PoolFixture f({}, 64);
    must(f.operation(CreateThin{ThinId::checked(1)}));
    Volume* first = f.volume;
    Volume* second = must(f.pool->open_volume(ThinId::checked(1), block_bytes, false));
    f.start(IoKind::write, 0);
    f.volume = second;
    f.start(IoKind::write, 0);
    must(f.pool->settle());
    const std::uint64_t commits = f.pool->status().commits;
    must(apply_now(*f.pool,
                   {CreateSnapshot{ThinId::checked(10), first->id},
                    CreateSnapshot{ThinId::checked(11), second->id}},
                   {0}, {1}));
    CHECK(f.pool->status().commits == commits + 1);
    CHECK(f.pool->status().transaction_id == TransactionId{1});
    CHECK(must(f.pool->volume_use(ThinId::checked(10))).mapped == 1);
    CHECK(must(f.pool->volume_use(ThinId::checked(11))).mapped == 1);
    // One of them cannot be: none is.
    CHECK(code_of(apply_now(*f.pool,
                            {CreateSnapshot{ThinId::checked(12), first->id},
                             CreateSnapshot{ThinId::checked(10), second->id}},
                            {1}, {2})) == Errc::exists);
    CHECK(f.pool->volume_use(ThinId::checked(12)).error().code == Errc::not_found);
}

TEST_CASE("no write is refused for blocks of metadata that a commit under way gives back") {
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        const Workload workload{.name = "little metadata",
                                .write = 50,
                                .fua = 3,
                                .flush = 8,
                                .discard = 8,
                                .snapshot = 10,
                                .remove = 6,
                                .commit = 10,
                                .data_blocks = 1 + seed % 8,
                                .volume_blocks = 4,
                                .metadata_blocks = 128,
                                .ballast = 46 + static_cast<std::uint32_t>(seed % 5)};
        SimRun run(workload, seed);
        run.run(35);
        run.drain();
        run.play({{.kind = Act::Kind::grow_data, .n = 20, .turns = 3}});
        run.drain();
        const std::uint64_t before = run.out_of_space();
        const auto write_all = [&] {
            for (std::uint64_t at = 0; at < 4; ++at)
                run.play({{.kind = Act::Kind::write, .at = at * 128, .n = 1, .turns = 3}});
            run.drain();
        };
        write_all();
        const std::uint64_t refused = run.out_of_space() - before;
        write_all();  // what has room now, where all is committed, had it before
        CAPTURE(seed, refused);
        CHECK((refused == 0 || run.out_of_space() - before > refused));
        REQUIRE(run.failures().empty());
    }
}

TEST_CASE("a discard that waits for a commit to give metadata back goes on as a discard", "[S20]") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const Workload workload{.name = "discards, little metadata",
                                .write = 20,
                                .discard = 60,
                                .create = 3,
                                .snapshot = 10,
                                .commit = 2,
                                .data_blocks = 24,
                                .volume_blocks = 8,
                                .metadata_blocks = 128 + seed % 30,
                                .ballast = 40 + static_cast<std::uint32_t>(seed % 80),
                                .slowness = 1 + seed % 3,
                                .metadata_slowness = 1 + seed % 40};
        SimRun run(workload, seed);
        run.run(100);
        run.drain();
        CAPTURE(seed);
        REQUIRE(run.failures().empty());
    }
}

}  // namespace thinvol
