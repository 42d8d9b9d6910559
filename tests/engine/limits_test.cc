// Goal: each limit of the format holds on its last value and refuses the next one, with nothing
// harmed.
// Method: sparse devices as large as the limits, and metadata edited to stand just before them.
#include "engine/check.h"
#include "engine/node.h"
#include "engine/pool.h"
#include "engine/run_now.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/sparse_queue.h"

namespace thinvol {
namespace {

constexpr std::uint64_t kib = 1024;

PoolFeatures failing() {
    PoolFeatures features;
    features.error_if_no_space = true;
    return features;
}

Result<> io(Pool& pool, Volume& volume, IoKind kind, std::uint64_t at, std::span<std::byte> bytes) {
    IoRequest request;
    request.kind = kind;
    request.volume = &volume;
    request.offset = ByteOffset(at);
    request.length = Bytes(bytes.size());
    request.buffer = bytes.data();
    return submit_now(pool, request);
}

}  // namespace

TEST_CASE("data blocks are 64 KiB to 1 GiB in steps of 64 KiB", "[S21]") {
    for (const std::uint64_t size : {64 * kib, 128 * kib, 192 * kib, 1088 * kib, 3072 * kib,
                                     1048576 * kib - 64 * kib, 1048576 * kib}) {
        CAPTURE(size);
        SparseQueue md(Sectors(8 * 512));
        SparseQueue data(to_sectors(Bytes(4 * size + 512)));
        auto pool = must(Pool::create(md, data, to_sectors(Bytes(size)), {failing()}));
        CHECK(pool->status().data_size == DataBlocks(4));
        must(apply_now(*pool, {CreateThin{ThinId::checked(0)}}, {0}, {1}));
        Volume& v = *must(pool->open_volume(ThinId::checked(0), Bytes(100 * size), false));
        // Across the edge of the first two blocks, in the middle of nowhere.
        std::vector<std::byte> bytes(8192, std::byte{42});
        must(io(*pool, v, IoKind::write, size * 50 - 4096, bytes));
        must(apply_now(*pool, {CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}}, {1}, {2}));
        std::vector<std::byte> other(8192, std::byte{43});
        must(io(*pool, v, IoKind::write, size * 50 - 2048, std::span(other).first(4096)));
        Volume& snapshot = *must(pool->open_volume(ThinId::checked(1), Bytes(100 * size), true));
        std::vector<std::byte> read(16384);
        must(io(*pool, snapshot, IoKind::read, size * 50 - 8192, read));
        CHECK(std::count(read.begin(), read.end(), std::byte{42}) == 8192);
        must(io(*pool, v, IoKind::read, size * 50 - 8192, read));
        CHECK(std::count(read.begin(), read.end(), std::byte{42}) == 4096);
        CHECK(std::count(read.begin(), read.end(), std::byte{43}) == 4096);
        CHECK(pool->status().data_used == DataBlocks(4));
        must(pool->settle());
        require_clean(md);
    }
    for (const std::uint64_t sectors :
         {0ULL, 64ULL, 127ULL, 129ULL, 200ULL, 2097153ULL, 2097280ULL}) {
        CAPTURE(sectors);
        SparseQueue md(Sectors(8 * 512));
        SparseQueue data(Sectors(1ULL << 30));
        CHECK(Pool::create(md, data, Sectors(sectors), {}).error().code == Errc::invalid_argument);
    }
}

TEST_CASE("no pool is made on devices that are too small, and nothing is written there", "[S21]") {
    struct Row {
        Sectors metadata;
        Sectors data;
        const char* refused;
    };
    const std::vector<Row> rows{
        {Sectors(128 * 8), Sectors(127),
         "a data device of 127 sectors does not hold one block of 128"},
        {Sectors(128 * 8 - 1), Sectors(128),
         "a metadata device of 127 blocks is too small, the least is 128"},
        {Sectors(0), Sectors(128), "a metadata device of 0 blocks is too small, the least is 128"},
    };
    for (const Row& row : rows) {
        MemoryQueue md(row.metadata);
        MemoryQueue data(row.data);
        const auto made = Pool::create(md, data, block, {});
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error().code == Errc::invalid_argument);
        CHECK(made.error().text == row.refused);
        CHECK(std::ranges::all_of(md.bytes(), [](std::byte b) { return b == std::byte{0}; }));
    }
    MemoryQueue md(Sectors(128 * 8));
    MemoryQueue data(block);
    CHECK(must(Pool::create(md, data, block, {}))->status().data_size == DataBlocks(1));
}

TEST_CASE("a request ends with its volume; one to the block's end, with the volume's last block") {
    PoolFixture f;
    const std::uint64_t size = block_bytes.n + 1000;
    f.start(IoKind::write, 1);
    f.pool->resize_volume(*f.volume, Bytes(size), false);
    struct Row {
        std::uint64_t offset;
        std::uint64_t length;
        bool to_block_end;
        bool taken;
    };
    const auto outcome = [&](const Row& row, IoKind kind) {
        std::vector<std::byte> bytes(row.length <= size ? row.length : 0);
        IoRequest request;
        request.kind = kind;
        request.volume = f.volume;
        request.offset = ByteOffset(row.offset);
        request.length = Bytes(row.length);
        request.buffer = bytes.data();
        request.to_block_end = row.to_block_end;
        return submit_now(*f.pool, request);
    };
    const std::uint64_t last = block_bytes.n;
    for (const Row& row :
         {Row{size, 1, false, false}, Row{size - 1, 2, false, false},
          Row{0, size + 1, false, false}, Row{~0ULL, 2, false, false}, Row{1, ~0ULL, false, false},
          Row{last, last + 1, true, false}, Row{size, 0, false, true}, Row{0, size, false, true}}) {
        CAPTURE(row.offset, row.length, row.to_block_end);
        for (const IoKind kind : {IoKind::read, IoKind::discard})
            CHECK(code_of(outcome(row, kind)) == (row.taken ? Errc{} : Errc::invalid_argument));
    }
    CHECK(must(f.pool->volume_use(f.volume->id)).mapped == 1);
    must(outcome({last, last, true, true}, IoKind::discard));
    CHECK(must(f.pool->volume_use(f.volume->id)).mapped == 0);
}

TEST_CASE("H19: metadata have 255 bitmaps, and not a block beyond", "[S21]") {
    const MetadataBlocks most(255 * 16320);
    for (const std::int64_t more : {-1, 0, 1, 100'000}) {
        CAPTURE(more);
        SparseQueue md(Sectors((most.n + static_cast<std::uint64_t>(more)) * 8));
        SparseQueue data(Sectors(128 * 100));
        auto pool = must(Pool::create(md, data, Sectors(128), {}));
        CHECK(pool->status().metadata_size == MetadataBlocks(most.n - (more < 0 ? 1 : 0)));
        must(apply_now(*pool, {CreateThin{ThinId::checked(0)}}, {0}, {1}));
        require_clean(md);
    }
    // Grown to the last block, and asked for more.
    SparseQueue md(Sectors(8 * 1000));
    SparseQueue data(Sectors(128 * 100));
    auto pool = must(Pool::create(md, data, Sectors(128), {}));
    md.grow(Sectors((most.n + 5) * 8));
    must(apply_now(*pool, {GrowMetadata{most + MetadataBlocks(5)}}, {0}, {1}));
    CHECK(pool->status().metadata_size == most);
    require_clean(md);
    must(apply_now(*pool, {GrowMetadata{most + MetadataBlocks(5)}}, {1}, {2}));
    CHECK(pool->status().metadata_size == most);
}

TEST_CASE("a pool has 2^40 data blocks at most", "[S21]") {
    const std::uint64_t most = 1ULL << 40;
    SparseQueue md(Sectors(8 * 1000));
    SparseQueue data(Sectors(128 * (most + 1)));
    CHECK(Pool::create(md, data, Sectors(128), {}).error().code == Errc::invalid_argument);
    data.grow(Sectors(128 * most));
    // As many need 67 million metadata blocks: refused for want of those, not of numbers.
    const auto refused = Pool::create(md, data, Sectors(128), {});
    CHECK(refused.error().code == Errc::out_of_space);
}

TEST_CASE("thin ids have 24 bits, the last one included", "[S21]") {
    PoolFixture f;
    const ThinId last = ThinId::checked(16777215);
    must(f.operation(CreateThin{last}));
    f.volume = must(f.pool->open_volume(last, block_bytes, false));
    REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
    must(f.pool->settle());
    CHECK(thin_check(f.md.bytes()).empty());
    must(f.operation(CreateSnapshot{ThinId::checked(16777214), last}));
    CHECK(must(f.pool->volume_use(ThinId::checked(16777214))).mapped == 1);
    CHECK_FALSE(ThinId::from(16777216).has_value());
}

TEST_CASE("a clock past its end makes a pool read-only, with the way out", "[S21]") {
    PoolFixture f;
    REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
    must(f.pool->settle());
    f.pool->close_volume(*f.volume);
    f.pool.reset();
    auto sb = must(Superblock::decode(BlockBytes(f.md.bytes().data(), metadata_block_bytes)));
    sb.time = SnapTime::max + 1;
    sb.encode(BlockBytes(f.md.bytes().data(), metadata_block_bytes));
    f.pool = must(Pool::open(f.md, f.data, {failing()}));
    CHECK(f.pool->mode() == PoolMode::read_only);
    CHECK(f.pool->status().trouble.find("restore") != std::string::npos);
    must(f.pool->set_features(failing()));
    CHECK(f.pool->mode() == PoolMode::read_only);
    CHECK_FALSE(f.pool->status().needs_check);
    f.volume = must(f.pool->open_volume(ThinId::checked(0), Bytes(1 << 20), false));
    CHECK(code_of(f.start(IoKind::write, 0)->request.outcome) == Errc{});
    CHECK(code_of(f.start(IoKind::write, 5)->request.outcome) == Errc::io_error);
    CHECK(code_of(f.operation(CreateSnapshot{ThinId::checked(1), ThinId::checked(0)})) ==
          Errc::read_only);
}

TEST_CASE("a data block's count stops at its end instead of turning over", "[S21]") {
    PoolFixture f;
    REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
    // Three leaves refer to the block: its count is in the overflow tree.
    for (std::uint32_t i = 1; i < 4; ++i) {
        must(f.operation(CreateSnapshot{ThinId::checked(i), ThinId::checked(0)}));
        REQUIRE(f.start(IoKind::write, 1)->request.outcome.has_value());
    }
    must(f.pool->settle());
    f.pool->close_volume(*f.volume);
    f.pool.reset();
    const auto sb = must(Superblock::decode(BlockBytes(f.md.bytes().data(), metadata_block_bytes)));
    const MetadataBlock overflow = sb.data_space_map.ref_count_root;
    BlockBytes leaf(f.md.bytes().data() + overflow.n * metadata_block_bytes, metadata_block_bytes);
    const NodeView node(leaf.data());
    REQUIRE(node.entries() > 0);
    const std::size_t value = static_cast<std::size_t>(node.value(0) - leaf.data());
    store_le<std::uint32_t>(leaf.data() + value, ~0U);
    store_le<std::uint32_t>(leaf.data(), checksum_of(BlockKind::overflow_node, leaf));
    f.pool = must(Pool::open(f.md, f.data, {failing()}));
    f.volume = must(f.pool->open_volume(ThinId::checked(0), Bytes(1 << 20), false));
    must(f.operation(CreateSnapshot{ThinId::checked(9), ThinId::checked(0)}));
    const auto write = f.start(IoKind::write, 1);
    REQUIRE(write->done);
    CHECK_FALSE(write->request.outcome.has_value());
    CHECK(f.pool->mode() == PoolMode::read_only);
    CHECK(f.pool->status().trouble.find("too many references") != std::string::npos);
}

}  // namespace thinvol
