// Goal: block status says of every block what a read and a write of it would meet, after any
// history, within its limits; zeroes asked for only where they are fast write nothing.
// Method: random writes, discards and snapshots, and a model of which volume wrote what when.
#include <map>

#include "engine/run_now.h"
#include "engine/thin_queue.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

struct Asking : PoolFixture {
    Asking() : PoolFixture({}, 600, 400) {}
    // By block; asks again where an answer ended early.
    std::vector<Backing> blocks(std::uint64_t first, std::uint64_t count, std::size_t most) {
        std::vector<Backing> told;
        while (told.size() < count) {
            const auto answer = extents((first + told.size()) * block_bytes.n,
                                        (count - told.size()) * block_bytes.n, most);
            REQUIRE(!answer.empty());
            REQUIRE(answer.size() <= most);
            for (std::size_t i = 0; i < answer.size(); ++i) {
                REQUIRE(answer[i].length % block_bytes.n == 0);
                REQUIRE((i == 0 || answer[i].backing != answer[i - 1].backing));
                told.insert(told.end(), answer[i].length / block_bytes.n, answer[i].backing);
            }
        }
        REQUIRE(told.size() == count);
        return told;
    }
    std::vector<VolumeExtent> extents(std::uint64_t at, std::uint64_t length, std::size_t most) {
        std::vector<VolumeExtent> found;
        IoRequest request;
        request.kind = IoKind::status;
        request.volume = volume;
        request.offset = ByteOffset(at);
        request.length = Bytes(length);
        request.extents = &found;
        request.most = most;
        must(submit_now(*pool, request));
        return found;
    }
    Result<> fast_zeroes(std::uint64_t at, std::uint64_t length, bool keep = false) {
        IoRequest request;
        request.kind = IoKind::write_zeroes;
        request.fast_only = true;
        request.keep_allocated = keep;
        request.volume = volume;
        request.offset = ByteOffset(at);
        request.length = Bytes(length);
        return submit_now(*pool, request);
    }
};

}  // namespace

TEST_CASE("block status is what the volume's history says") {
    for (const std::uint64_t seed : test_seeds(4)) {
        CAPTURE(seed);
        Asking f;
        Random random(seed);
        std::vector<Backing> model(volume_blocks, Backing::none);
        std::uint32_t snapshots = 0;
        for (int step = 0; step < 150; ++step) {
            const std::uint64_t at = random.below(500);
            const std::uint64_t n = 1 + random.below(8);
            if (random.one_in(20)) {
                must(f.operation(CreateSnapshot{ThinId::checked(++snapshots), ThinId::checked(0)}));
                std::replace(model.begin(), model.end(), Backing::exclusive, Backing::shared);
            } else if (random.one_in(3)) {
                REQUIRE(f.start(IoKind::discard, at, n)->request.outcome.has_value());
                std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(at), n, Backing::none);
            } else if (f.pool->status().data_used < DataBlocks(580)) {
                REQUIRE(f.start(IoKind::write, at, n)->request.outcome.has_value());
                std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(at), n, Backing::exclusive);
            }
            if (random.one_in(4)) {
                const std::uint64_t most = 1 + random.below(20);
                const std::uint64_t from = random.below(volume_blocks);
                const std::uint64_t count = 1 + random.below(volume_blocks - from);
                const auto begin = model.begin() + static_cast<std::ptrdiff_t>(from);
                CHECK(f.blocks(from, count, most) ==
                      std::vector<Backing>(begin, begin + static_cast<std::ptrdiff_t>(count)));
            }
        }
        CHECK(f.blocks(0, volume_blocks, 10000) == model);
    }
}

TEST_CASE("block status keeps to the bytes asked for, and shows the external origin") {
    Asking f;
    MemoryQueue origin(Sectors(1000));
    REQUIRE(f.start(IoKind::write, 1)->request.outcome.has_value());
    const std::uint64_t b = block_bytes.n;
    const auto is = [](const std::vector<VolumeExtent>& found,
                       const std::vector<std::pair<std::uint64_t, Backing>>& wanted) {
        return std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(),
                          [](const VolumeExtent& e, const auto& w) {
                              return e.length == w.first && e.backing == w.second;
                          });
    };
    CHECK(is(f.extents(b - 1, 2, 9), {{1, Backing::none}, {1, Backing::exclusive}}));
    CHECK(is(f.extents(b + 5, b, 9), {{b - 5, Backing::exclusive}, {5, Backing::none}}));
    f.pool->close_volume(*f.volume);
    f.volume =
        must(f.pool->open_volume(ThinId::checked(0), Bytes(volume_blocks * b), false, &origin));
    CHECK(is(f.extents(0, 10 * b, 9), {{b, Backing::origin},
                                       {b, Backing::exclusive},
                                       {512000 - 2 * b, Backing::origin},
                                       {10 * b - 512000, Backing::none}}));
    CHECK(is(f.extents(0, 10 * b, 2), {{b, Backing::origin}, {b, Backing::exclusive}}));
    CHECK(code_of(f.fast_zeroes(20 * b, b)) == Errc::unsupported);
}

TEST_CASE("a long mapped stretch is told in bounded steps") {
    Asking f;
    for (std::uint64_t at = 0; at < 550; at += 50)
        REQUIRE(f.start(IoKind::write, at, 50)->request.outcome.has_value());
    CHECK(f.extents(0, volume_blocks * block_bytes.n, 1).front().length == 550 * block_bytes.n);
}

TEST_CASE("fast zeroes write nothing") {
    Asking f;
    const std::uint64_t b = block_bytes.n;
    REQUIRE(f.start(IoKind::write, 2, 3)->request.outcome.has_value());
    CHECK(code_of(f.fast_zeroes(2 * b + 1, b)) == Errc::unsupported);
    CHECK(code_of(f.fast_zeroes(b, b + 1)) == Errc::unsupported);
    CHECK(code_of(f.fast_zeroes(0, b, true)) == Errc::unsupported);
    CHECK(f.pool->status().data_used == DataBlocks(3));
    must(f.fast_zeroes(b / 2, 2 * b + b / 2));
    must(f.fast_zeroes(6 * b + 1, 100 * b));
    CHECK(f.blocks(0, 6, 9) == std::vector{Backing::none, Backing::none, Backing::none,
                                           Backing::exclusive, Backing::exclusive, Backing::none});
}

}  // namespace thinvol
