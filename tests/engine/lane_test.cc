// Goal: a lane does by itself what needs no change of the metadata, hands over all else, and other
// threads' ways to a volume show one volume: nothing answered is missing, a snapshot is one
// instant, a flush covers what lanes wrote. Method: lanes driven by hand over devices in memory;
// then threads on a file, each write a version that later reads and snapshots must agree with.
#include "engine/lane.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <semaphore>
#include <thread>

#include "engine/file_queue.h"
#include "engine/run_now.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/processes.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

struct OnLane {
    IoRequest io;
    std::vector<std::byte> bytes;
    bool done = false;

    OnLane(Volume& volume, IoKind kind, std::uint64_t at, std::uint64_t length,
           std::byte fill = {}) {
        bytes.assign(length, fill);
        io.kind = kind;
        io.volume = &volume;
        io.offset = ByteOffset(at);
        io.length = Bytes(length);
        io.buffer = bytes.data();
        io.owner = this;
        io.done = [](IoRequest& r) { static_cast<OnLane*>(r.owner)->done = true; };
    }
};

struct LaneFixture : PoolFixture {
    Lane lane{pool->lanes(), data, block, [] {}};

    // Whether the request ends without the pool's thread.
    bool here(OnLane& request) {
        lane.submit(request.io);
        lane.run_once();
        if (request.done) return true;
        while (!request.done) {
            run();
            lane.run_once();
        }
        return false;
    }
};

TEST_CASE("what needs no change of the metadata ends on the lane") {
    LaneFixture f;
    OnLane first(*f.volume, IoKind::write, 0, 2 * block_bytes.n, std::byte{3});
    CHECK_FALSE(f.here(first));
    for (const bool known : {false, true}) {  // 512 mappings are learnt at a time
        OnLane far(*f.volume, IoKind::read, 1024 * block_bytes.n, 4096);
        CHECK(f.here(far) == known);
    }
    OnLane read(*f.volume, IoKind::read, 4096, block_bytes.n);
    CHECK(f.here(read));
    CHECK(read.bytes == std::vector<std::byte>(block_bytes.n, std::byte{3}));
    OnLane overwrite(*f.volume, IoKind::write, 512, block_bytes.n, std::byte{4});
    CHECK(f.here(overwrite));
    CHECK(must(f.pool->volume_use(f.volume->id)).mapped == 2);
    OnLane again(*f.volume, IoKind::read, 512, block_bytes.n);
    CHECK(f.here(again));
    CHECK(again.bytes == overwrite.bytes);
    OnLane hole(*f.volume, IoKind::read, block_bytes.n, 2 * block_bytes.n, std::byte{9});
    std::vector<VolumeExtent> extents;
    hole.io.extents = &extents;
    CHECK(f.here(hole));
    REQUIRE(extents.size() == 2);
    CHECK(extents[0].backing == Backing::exclusive);
    CHECK(extents[1].backing == Backing::none);
    CHECK(extents[1].length == block_bytes.n);
}

TEST_CASE("what is answered to users who outlive the process is mapped durably (C12)") {
    LaneFixture f;
    const auto durable = [&] {
        return f.volume->device->last_change <= f.pool->metadata().durable_commit();
    };
    OnLane first(*f.volume, IoKind::write, 0, block_bytes.n, std::byte{1});
    CHECK_FALSE(f.here(first));
    CHECK_FALSE(durable());  // others learn it from a flush
    f.pool->set_outlived(*f.volume, true);
    // Its block is mapped, but not durably: until then a lane answers nothing.
    OnLane second(*f.volume, IoKind::write, 0, block_bytes.n, std::byte{2});
    CHECK_FALSE(f.here(second));
    CHECK(durable());
    OnLane third(*f.volume, IoKind::write, 0, block_bytes.n, std::byte{3});
    CHECK(f.here(third));
    for (const IoKind kind : {IoKind::write, IoKind::write_zeroes}) {
        OnLane changing(*f.volume, kind, 0, 2 * block_bytes.n, std::byte{4});
        CHECK_FALSE(f.here(changing));
        CHECK(durable());
    }
}

TEST_CASE("what the pool's thread has to do is handed over, and comes back with its outcome") {
    LaneFixture f;
    REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
    OnLane look(*f.volume, IoKind::read, 0, 4096);
    f.here(look);
    OnLane fua(*f.volume, IoKind::write, 0, 4096);
    fua.io.fua = true;
    CHECK_FALSE(f.here(fua));
    OnLane flush(*f.volume, IoKind::flush, 0, 0);
    CHECK_FALSE(f.here(flush));
    OnLane discard(*f.volume, IoKind::discard, 0, block_bytes.n);
    CHECK_FALSE(f.here(discard));
    CHECK(must(f.pool->volume_use(f.volume->id)).mapped == 0);
    OnLane outside(*f.volume, IoKind::read, volume_blocks * block_bytes.n, 512);
    CHECK_FALSE(f.here(outside));
    CHECK(code_of(outside.io.outcome) == Errc::invalid_argument);
    f.pool->resize_volume(*f.volume, f.volume->size, true);
    OnLane refused(*f.volume, IoKind::write, 0, 4096);
    CHECK_FALSE(f.here(refused));
    CHECK(code_of(refused.io.outcome) == Errc::read_only);
}

TEST_CASE("a lane's write leaves a snapshot as it was, and keeps the volume's other writes out") {
    LaneFixture f;
    REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
    OnLane look(*f.volume, IoKind::read, 0, 4096);
    f.here(look);
    must(f.operation(CreateSnapshot{ThinId::checked(1), f.volume->id}));
    OnLane write(*f.volume, IoKind::write, 0, 4096, std::byte{8});
    CHECK_FALSE(f.here(write));  // the block is shared
    OnLane now_own(*f.volume, IoKind::write, 0, 4096, std::byte{9});
    CHECK(f.here(now_own));
    Volume* snapshot = must(f.pool->open_volume(ThinId::checked(1), f.volume->size, false));
    OnLane old(*snapshot, IoKind::read, 0, 4096);
    f.here(old);
    CHECK(old.bytes == std::vector<std::byte>(4096, std::byte{7}));
    f.pool->close_volume(*snapshot);
}

TEST_CASE("while lanes are closed all is handed over") {
    LaneFixture f;
    REQUIRE(f.start(IoKind::write, 0)->request.outcome.has_value());
    OnLane look(*f.volume, IoKind::read, 0, 4096);
    f.here(look);
    f.pool->lanes().close_and_wait();
    OnLane closed(*f.volume, IoKind::read, 0, 4096);
    CHECK_FALSE(f.here(closed));
    f.pool->lanes().open();
    OnLane open(*f.volume, IoKind::read, 0, 4096);
    CHECK(f.here(open));
}

TEST_CASE("a flush is not skipped for what another thread's queue on the file wrote") {
    const TemporaryDirectory dir;
    UniqueFd fd(::open((dir.path() / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(fd.get(), 1 << 20) == 0);
    FileQueue queue(std::move(fd), "file", {false, Sectors(1), Sectors(2048), nullptr, false});
    const auto sibling = must(queue.sibling(nullptr));
    must(flush_now(queue));
    CHECK(queue.flushes() == 0);
    must(write_now(*sibling, Sector(0), std::vector<std::byte>(4096)));
    must(flush_now(queue));
    CHECK(queue.flushes() == 1);
    must(flush_now(queue));
    CHECK(queue.flushes() == 1);
}

// --- threads -------------------------------------------------------------------------------------

constexpr std::uint64_t piece_bytes = 4096;
constexpr std::uint64_t pieces = 64;  // of one thread: 4 blocks
constexpr std::size_t threads = 3;

// What is known of a piece of the volume, each thread having its own pieces.
struct Piece {
    std::atomic<std::uint32_t> begun{0};
    std::atomic<std::uint32_t> answered{0};
};
using Pieces = std::array<Piece, threads * pieces>;

// The version all of it holds; none: it is torn.
std::optional<std::uint32_t> version_of(std::span<const std::byte> bytes) {
    std::array<std::uint32_t, piece_bytes / 4> words;
    std::memcpy(words.data(), bytes.data(), piece_bytes);
    const bool same = std::all_of(words.begin(), words.end(),
                                  [&](std::uint32_t word) { return word == words[0]; });
    return same ? std::optional(words[0]) : std::nullopt;
}

std::vector<std::byte> bytes_of(std::uint32_t version) {
    const std::vector<std::uint32_t> words(piece_bytes / 4, version);
    std::vector<std::byte> bytes(piece_bytes);
    std::memcpy(bytes.data(), words.data(), piece_bytes);
    return bytes;
}

struct Worker {
    Worker(Pool& pool, BlockQueue& data)
        : lane(pool.lanes(), data, block, [this] { woken.release(); }) {}
    std::counting_semaphore<> woken{0};
    Lane lane;
    std::uint64_t wrong = 0;
    std::uint64_t failed = 0;

    bool run(OnLane& request) {
        lane.submit(request.io);
        while (!request.done)
            if (!lane.run_once()) sleep(woken);
        failed += request.io.outcome ? 0 : 1;
        return request.io.outcome.has_value();
    }
    static void sleep(std::counting_semaphore<>& until) {
        static_cast<void>(until.try_acquire_for(std::chrono::milliseconds(20)));
    }

    void work(Volume& volume, Pieces& all, std::size_t number, std::uint64_t steps) {
        Random random(number);
        for (std::uint64_t step = 0; step < steps; ++step) {
            const std::uint64_t at = number * pieces + random.below(pieces);
            Piece& piece = all[at];
            if (random.one_in(40)) {
                OnLane flush(volume, IoKind::flush, 0, 0);
                run(flush);
            } else if (random.one_in(3)) {
                OnLane read(volume, IoKind::read, at * piece_bytes, piece_bytes);
                if (run(read) && version_of(read.bytes) != piece.answered.load()) ++wrong;
            } else {
                const std::uint32_t version = piece.begun.load() + 1;
                piece.begun = version;
                OnLane write(volume, IoKind::write, at * piece_bytes, piece_bytes);
                write.bytes = bytes_of(version);
                write.io.buffer = write.bytes.data();
                if (run(write)) piece.answered = version;
            }
        }
    }
};

// The pool's thread: takes snapshots in turn, and looks at each at once.
struct Snapshots {
    Snapshots(Pool& of, Volume& origin_volume, const Pieces& pieces_of_it)
        : pool(of), origin(origin_volume), all(pieces_of_it) {}
    Pool& pool;
    Volume& origin;
    const Pieces& all;
    ApplyRequest request;
    std::array<std::uint32_t, threads * pieces> answered{};
    bool under_way = false;
    bool done = false;
    std::uint32_t taken = 0;
    std::uint64_t wrong = 0;

    void begin() {
        under_way = true;
        done = false;
        for (std::size_t i = 0; i < all.size(); ++i) answered[i] = all[i].answered;
        request = {};
        request.operations = {CreateSnapshot{ThinId::checked(++taken), origin.id}};
        request.owner = this;
        request.done = [](ApplyRequest& r) { static_cast<Snapshots*>(r.owner)->done = true; };
        pool.apply(request);
    }
    void look() {
        must(std::move(request.outcome));
        std::array<std::uint32_t, threads * pieces> begun;
        for (std::size_t i = 0; i < all.size(); ++i) begun[i] = all[i].begun;
        Volume* snapshot = must(pool.open_volume(ThinId::checked(taken), origin.size, true));
        OnLane read(*snapshot, IoKind::read, 0, origin.size.n);
        must(submit_now(pool, read.io));
        for (std::size_t i = 0; i < all.size(); ++i) {
            const auto version =
                version_of(std::span(read.bytes).subspan(i * piece_bytes, piece_bytes));
            if (!version || *version < answered[i] || *version > begun[i]) ++wrong;
        }
        pool.close_volume(*snapshot);
        if (taken > 3) must(apply_now(pool, {RemoveThin{ThinId::checked(taken - 3)}}, {}, {}));
        if (taken % 5 == 0) {
            pool.lanes().close_and_wait();
            pool.lanes().open();
        }
        under_way = false;
    }
};

TEST_CASE("threads and snapshots see one volume") {
    const TemporaryDirectory dir;
    constexpr std::uint64_t data_blocks = 400;
    UniqueFd fd(::open((dir.path() / "data").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(fd.get(), data_blocks * block_bytes.n) == 0);
    FileQueue data(std::move(fd), "data", {false, Sectors(1), block * data_blocks, nullptr, false});
    MemoryQueue md(to_sectors(Bytes(400 * metadata_block_bytes)));
    auto pool = must(Pool::create(md, data, block, {}));
    must(apply_now(*pool, {CreateThin{ThinId::checked(0)}}, {}, {}));
    const Bytes size(threads * pieces * piece_bytes);
    Volume* volume = must(pool->open_volume(ThinId::checked(0), size, false));

    std::counting_semaphore<> woken{0};
    pool->lanes().on_wake([&] { woken.release(); });
    Pieces all;
    std::vector<std::unique_ptr<FileQueue>> queues;
    std::vector<std::unique_ptr<Worker>> workers;
    std::atomic<std::size_t> ended = 0;
    std::vector<std::thread> running;
    for (std::size_t i = 0; i < threads; ++i) {
        queues.push_back(must(data.sibling(nullptr)));
        workers.push_back(std::make_unique<Worker>(*pool, *queues.back()));
    }
    for (std::size_t i = 0; i < threads; ++i)
        running.emplace_back([&, i] {
            workers[i]->work(*volume, all, i, 4000);
            ++ended;
            woken.release();
        });
    Snapshots snapshots(*pool, *volume, all);
    while (ended < threads || snapshots.under_way) {
        if (!snapshots.under_way && snapshots.taken < 40 && ended < threads) snapshots.begin();
        const bool progress = pool->run_once();
        if (snapshots.under_way && snapshots.done) snapshots.look();
        else if (!progress) Worker::sleep(woken);
    }
    for (std::thread& thread : running) thread.join();
    for (auto& worker : workers) {
        CHECK(worker->wrong == 0);
        CHECK(worker->failed == 0);
    }
    CHECK(snapshots.wrong == 0);
    CHECK(snapshots.taken > 3);
    workers.clear();
    must(pool->settle());
    pool->close_volume(*volume);
    pool.reset();
    require_clean(md);
}

}  // namespace
}  // namespace thinvol
