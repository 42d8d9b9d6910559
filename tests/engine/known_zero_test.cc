// Goal: no byte of another volume, or of a volume's own past, is ever read, although small writes
// to new blocks leave out the zeroes where the file has a hole; and they do leave them out.
// Method: random histories of two volumes over a file, compared byte by byte with a model; the file
// is full of old data, partly, before the pool is made.
#include "engine/known_zero.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>

#include "engine/file_queue.h"
#include "engine/run_now.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

constexpr std::uint64_t data_blocks = 48;
constexpr Bytes volume_size{32 * 65536};

UniqueFd unnamed_file(std::uint64_t bytes) {
    const char* folder = std::getenv("TMPDIR");
    UniqueFd fd(::open(folder != nullptr ? folder : "/var/tmp", O_TMPFILE | O_RDWR, 0600));
    REQUIRE(fd);
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
    return fd;
}

struct OnFile {
    explicit OnFile(Discards discards, std::uint64_t dirty_blocks)
        : md(to_sectors(Bytes(160 * metadata_block_bytes))),
          data(unnamed_file(data_blocks * block_bytes.n), "data",
               {false, Sectors(1), block * data_blocks, nullptr, false}) {
        const std::vector<std::byte> old(block_bytes.n, std::byte{0xee});
        for (std::uint64_t b = 0; b < dirty_blocks; ++b)
            must(write_now(data, Sector(3 * b * block.n % size().n), old));
        PoolFeatures features;
        features.discards = discards;
        features.error_if_no_space = true;
        pool = must(Pool::create(md, data, block, {features}));
        for (std::uint32_t i = 0; i < 2; ++i) make(i);
    }
    static Sectors size() { return block * data_blocks; }
    Result<> operation(PoolOperation op) {
        const TransactionId id = pool->status().transaction_id;
        return apply_now(*pool, {std::move(op)}, id, id);
    }
    void make(std::uint32_t i) {
        must(operation(CreateThin{ThinId::checked(i)}));
        volumes[i] = must(pool->open_volume(ThinId::checked(i), volume_size, false));
        models[i].assign(volume_size.n, std::byte{0});
    }
    void make_again(std::uint32_t i) {
        pool->close_volume(*volumes[i]);
        must(operation(RemoveThin{ThinId::checked(i)}));
        must(pool->settle());
        make(i);
    }
    Result<> io(std::uint32_t i, IoKind kind, std::uint64_t at, std::vector<std::byte>& bytes) {
        IoRequest request;
        request.keep_allocated = kind == IoKind::write_zeroes;
        request.kind = kind;
        request.volume = volumes[i];
        request.offset = ByteOffset(at);
        request.length = Bytes(bytes.size());
        request.buffer = bytes.data();
        return submit_now(*pool, request);
    }
    bool reads_as_models() {
        for (std::uint32_t i = 0; i < 2; ++i) {
            std::vector<std::byte> all(volume_size.n);
            must(io(i, IoKind::read, 0, all));
            if (all != models[i]) return false;
        }
        return true;
    }
    std::uint64_t bytes_in_file() const {
        struct stat st{};
        ::fstat(data.fd(), &st);
        return static_cast<std::uint64_t>(st.st_blocks) * sector_bytes;
    }

    MemoryQueue md;
    FileQueue data;
    std::unique_ptr<Pool> pool;
    Volume* volumes[2]{};
    std::vector<std::byte> models[2];
};

void write_randomly(OnFile& f, std::uint32_t i, Random& random, std::byte mark) {
    const std::uint64_t at = random.below(volume_size.n / 512) * 512;
    std::vector<std::byte> bytes(
        std::min<std::uint64_t>(512 * (1 + random.below(20)), volume_size.n - at), mark);
    if (f.io(i, IoKind::write, at, bytes))
        std::copy(bytes.begin(), bytes.end(),
                  f.models[i].begin() + static_cast<std::ptrdiff_t>(at));
}

// A hole that is mapped: it may be written in place.
void provide_zeroes(OnFile& f, std::uint32_t i, Random& random) {
    const std::uint64_t at = random.below(volume_size.n / block_bytes.n) * block_bytes.n;
    std::vector<std::byte> zeroes(block_bytes.n);
    if (f.io(i, IoKind::write_zeroes, at, zeroes))
        std::copy(zeroes.begin(), zeroes.end(),
                  f.models[i].begin() + static_cast<std::ptrdiff_t>(at));
}

// Whole blocks, so that a discard unmaps all of it.
void discard_randomly(OnFile& f, std::uint32_t i, Random& random) {
    const std::uint64_t at = random.below(volume_size.n / block_bytes.n) * block_bytes.n;
    std::vector<std::byte> zeroes(block_bytes.n);
    must(f.io(i, IoKind::discard, at, zeroes));
    std::copy(zeroes.begin(), zeroes.end(), f.models[i].begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

TEST_CASE("nothing old shows in a new block, punched or not, dirty before or not") {
    for (const Discards discards : {Discards::passdown, Discards::nopassdown}) {
        for (const std::uint64_t dirty : {0UL, 20UL, data_blocks}) {
            for (const std::uint64_t seed : test_seeds(4)) {
                CAPTURE(static_cast<int>(discards), dirty, seed);
                OnFile f(discards, dirty);
                Random random(seed);
                for (int step = 0; step < 300; ++step) {
                    const auto i = static_cast<std::uint32_t>(random.below(2));
                    if (random.one_in(40)) f.make_again(i);
                    else if (random.one_in(6)) provide_zeroes(f, i, random);
                    else if (random.one_in(4)) discard_randomly(f, i, random);
                    else write_randomly(f, i, random, static_cast<std::byte>(1 + step % 200));
                    if (step % 50 == 0) REQUIRE(f.reads_as_models());
                }
                REQUIRE(f.reads_as_models());
                must(f.pool->settle());
                require_clean(f.md);
            }
        }
    }
}

TEST_CASE("a mapped hole that was written and freed is remembered as a hole no longer") {
    OnFile f(Discards::nopassdown, 0);
    KnownZero known(f.data, block);
    REQUIRE(known.take(DataBlock(4), DataBlocks(data_blocks)));
    const std::vector<std::byte> bytes(512, std::byte{7});
    must(write_now(f.data, Sector(block.n * 6 + 3), bytes));
    known.came_back(DataBlock(6), DataBlocks(1));
    CHECK_FALSE(known.take(DataBlock(6), DataBlocks(data_blocks)));
    CHECK(known.take(DataBlock(5), DataBlocks(data_blocks)));
    CHECK(known.take(DataBlock(7), DataBlocks(data_blocks)));
}

TEST_CASE("a small write to a new block over a hole takes its own size in the file") {
    OnFile f(Discards::passdown, 0);
    std::vector<std::byte> bytes(4096, std::byte{7});
    for (std::uint64_t b = 0; b < 8; ++b) must(f.io(0, IoKind::write, b * block_bytes.n, bytes));
    CHECK(f.bytes_in_file() <= 8 * 2 * 4096);
    std::vector<std::byte> block_of_zeroes(block_bytes.n);
    must(f.io(0, IoKind::discard, 0, block_of_zeroes));
    must(f.pool->settle());
    must(f.io(0, IoKind::write, 0, bytes));
    CHECK(f.bytes_in_file() <= 8 * 2 * 4096);
}

}  // namespace thinvol
