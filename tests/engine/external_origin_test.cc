// Goal: a volume over an external origin reads as the origin where it was not written, whatever the
// origin's size, and the origin never changes.
// Method: every request of a random history compared byte by byte with a model of both.
#include <array>

#include "engine/run_now.h"
#include "engine/thin_queue.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/sparse_queue.h"

namespace thinvol {
namespace {

std::vector<std::byte> pattern(std::size_t n) {
    std::vector<std::byte> bytes(n);
    for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(1 + i % 251);
    return bytes;
}

struct OverOrigin : PoolFixture {
    explicit OverOrigin(Sectors origin_size, const PoolFeatures& features = {})
        : PoolFixture(features, 200), origin(origin_size) {
        origin.bytes() = pattern(origin.bytes().size());
        pool->close_volume(*volume);
        volume = must(pool->open_volume(ThinId::checked(0), size, false, &origin));
        model.assign(size.n, std::byte{0});
        std::copy_n(origin.bytes().begin(), std::min<std::size_t>(size.n, origin.bytes().size()),
                    model.begin());
    }
    Result<> io(IoKind kind, std::uint64_t at, std::uint64_t length, std::byte* buffer) {
        IoRequest request;
        request.kind = kind;
        request.volume = volume;
        request.offset = ByteOffset(at);
        request.length = Bytes(length);
        request.buffer = buffer;
        return submit_now(*pool, request);
    }
    bool reads_as_model() {
        std::vector<std::byte> all(size.n);
        must(io(IoKind::read, 0, size.n, all.data()));
        const auto [got, wanted] = std::mismatch(all.begin(), all.end(), model.begin());
        if (got == all.end()) return true;
        UNSCOPED_INFO("byte " << got - all.begin() << " is " << int(*got) << ", not "
                              << int(*wanted));
        return false;
    }

    static constexpr Bytes size{20 * 65536};
    MemoryQueue origin;
    std::vector<std::byte> model;
};

// A pool of large blocks and a volume over an origin that ends what was asked of it one by one, and
// only for one that stands still. The origin's last block begins with half a megabyte, and has
// nothing behind.
struct LargeBlocks {
    static constexpr std::uint64_t mib = 1 << 20;
    static constexpr Bytes large{2 * mib};
    static constexpr std::uint64_t blocks = 40;

    class Held : public SparseQueue {
    public:
        using SparseQueue::SparseQueue;
        bool submit(Request& request) override {
            held_.push_back(&request);
            return false;
        }
        void poll(bool wait) override {
            if (!wait || held_.empty()) return;
            Request& request = *held_.front();
            held_.erase(held_.begin());
            SparseQueue::submit(request);
            request.done(request);
        }
        std::size_t in_flight() const override { return held_.size(); }

    private:
        std::vector<Request*> held_;
    };
    class Coarse : public SparseQueue {
    public:
        using SparseQueue::SparseQueue;
        Sectors granule() const override { return Sectors(8); }
    };
    struct Asked {
        IoRequest request;
        std::vector<std::byte> buffer;
        bool done = false;
    };

    LargeBlocks() {
        const std::vector<std::byte> bytes(4096, std::byte{3});
        for (std::uint64_t b = 0; b < blocks; ++b)
            must(write_now(origin, to_sector(ByteOffset(b * large.n)), bytes));
        must(apply_now(*pool, {CreateThin{ThinId::checked(0)}}, {0}, {1}));
        volume =
            must(pool->open_volume(ThinId::checked(0), Bytes(blocks * large.n), false, &origin));
    }
    // Its buffer is as long, and full of fours.
    void ask(IoKind kind, std::uint64_t at, std::uint64_t length) {
        auto& a = *asked.emplace_back(std::make_unique<Asked>());
        a.buffer.assign(length, std::byte{4});
        a.request.kind = kind;
        a.request.volume = volume;
        a.request.offset = ByteOffset(at);
        a.request.length = Bytes(length);
        a.request.buffer = a.buffer.data();
        a.request.owner = &a;
        a.request.done = [](IoRequest& r) { static_cast<Asked*>(r.owner)->done = true; };
        pool->submit(a.request);
    }
    void end_all() {
        pool->run_until(
            [&] { return std::ranges::all_of(asked, [](auto& a) { return a->done; }); });
        for (const auto& a : asked) {
            REQUIRE(a->done);
            must(Result<>(a->request.outcome));
        }
    }
    std::int64_t count(std::size_t i, std::byte b) const {
        return std::count(asked[i]->buffer.begin(), asked[i]->buffer.end(), b);
    }

    SparseQueue md{Sectors(8 * 512)};
    Coarse data{to_sectors(large) * 4};
    Held origin{to_sectors(Bytes(blocks * large.n - 3 * mib / 2))};
    std::unique_ptr<Pool> pool = must(Pool::create(md, data, to_sectors(large), {}));
    Volume* volume = nullptr;
    std::vector<std::unique_ptr<Asked>> asked;
};

}  // namespace

TEST_CASE("a volume shows its external origin where it was not written") {
    // Smaller and larger than the volume, and with a tail that fills no block.
    for (const std::uint64_t sectors : {1ULL, 127ULL, 128ULL, 1000ULL, 2560ULL, 4000ULL}) {
        for (const std::uint64_t seed : test_seeds(3)) {
            CAPTURE(sectors, seed);
            OverOrigin f{Sectors(sectors)};
            const std::vector<std::byte> before = f.origin.bytes();
            REQUIRE(f.reads_as_model());
            CHECK(must(f.pool->volume_use(ThinId::checked(0))).mapped == 0);
            Random random(seed);
            for (int i = 0; i < 60; ++i) {
                const std::uint64_t at = random.below(f.size.n);
                const std::uint64_t n = 1 + random.below(std::min<std::uint64_t>(
                                                f.size.n - at, random.one_in(2) ? 5000 : 200'000));
                std::vector<std::byte> bytes(n, static_cast<std::byte>(100 + i));
                if (random.one_in(4)) {
                    must(f.io(IoKind::write_zeroes, at, n, nullptr));
                    std::fill(bytes.begin(), bytes.end(), std::byte{0});
                    std::copy(bytes.begin(), bytes.end(),
                              f.model.begin() + static_cast<std::ptrdiff_t>(at));
                } else if (random.one_in(2)) {
                    must(f.io(IoKind::write, at, n, bytes.data()));
                    std::copy(bytes.begin(), bytes.end(),
                              f.model.begin() + static_cast<std::ptrdiff_t>(at));
                } else {
                    must(f.io(IoKind::read, at, n, bytes.data()));
                    CHECK(std::equal(bytes.begin(), bytes.end(),
                                     f.model.begin() + static_cast<std::ptrdiff_t>(at)));
                }
            }
            CHECK(f.reads_as_model());
            CHECK(f.origin.bytes() == before);
            must(f.pool->settle());
            require_clean(f.md);
        }
    }
}

TEST_CASE("a discarded block shows the external origin again") {
    OverOrigin f{Sectors(1000)};
    std::vector<std::byte> bytes(65536, std::byte{200});
    must(f.io(IoKind::write, 65536, 65536, bytes.data()));
    CHECK_FALSE(f.reads_as_model());
    must(f.io(IoKind::discard, 65536, 65536, nullptr));
    CHECK(f.reads_as_model());
}

TEST_CASE("a snapshot with the same external origin shows the same") {
    OverOrigin f{Sectors(1000)};
    std::vector<std::byte> bytes(1000, std::byte{200});
    must(f.io(IoKind::write, 70000, bytes.size(), bytes.data()));
    std::copy(bytes.begin(), bytes.end(), f.model.begin() + 70000);
    must(f.operation(CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}));
    must(f.io(IoKind::write, 0, bytes.size(), bytes.data()));
    f.volume = must(f.pool->open_volume(ThinId::checked(1), f.size, true, &f.origin));
    CHECK(f.reads_as_model());
}

TEST_CASE("a thin volume is an external origin, of the same pool and of another") {
    for (const bool same : {true, false}) {
        CAPTURE(same);
        PoolFixture theirs({}, 64);
        for (std::uint64_t at : {0ULL, 1ULL, 5ULL}) theirs.start(IoKind::write, at);
        must(theirs.operation(CreateSnapshot{ThinId::checked(1), ThinId::checked(0)}));
        must(theirs.operation(CreateThin{ThinId::checked(2)}));
        Volume* origin = must(theirs.pool->open_volume(ThinId::checked(1), Bytes(8 * 65536), true));
        PoolFixture ours({}, 64);
        PoolFixture& f = same ? theirs : ours;
        ThinQueue queue(*theirs.pool, *origin,
                        same ? ThinQueue::Pools::same : ThinQueue::Pools::other);
        const ThinId id = ThinId::checked(same ? 2 : 0);
        if (!same) f.pool->close_volume(*f.volume);
        f.volume = must(f.pool->open_volume(id, Bytes(12 * 65536), false, &queue));
        const auto shown = [&](std::uint64_t at) {
            const auto read = f.start(IoKind::read, at);
            REQUIRE(read->done);
            must(Result<>(read->request.outcome));
            return read->buffer[100];
        };
        CHECK(shown(1) == std::byte{7});
        CHECK(shown(2) == std::byte{0});
        CHECK(shown(9) == std::byte{0});
        // Part of a block: the rest is copied from the origin.
        std::vector<std::byte> bytes(4096, std::byte{200});
        IoRequest part;
        part.kind = IoKind::write;
        part.volume = f.volume;
        part.offset = ByteOffset(5 * 65536 + 8192);
        part.length = Bytes(bytes.size());
        part.buffer = bytes.data();
        must(submit_now(*f.pool, part));
        const auto read = f.start(IoKind::read, 5);
        CHECK(std::count(read->buffer.begin(), read->buffer.end(), std::byte{200}) == 4096);
        CHECK(std::count(read->buffer.begin(), read->buffer.end(), std::byte{7}) == 65536 - 4096);
        f.pool->close_volume(*f.volume);
        theirs.pool->close_volume(*origin);
    }
}

TEST_CASE("an external origin that cannot be read is an error of the request, not of the pool") {
    OverOrigin f{Sectors(1000)};
    class Broken : public MemoryQueue {
    public:
        using MemoryQueue::MemoryQueue;
        bool submit(Request& request) override {
            request.outcome = Error(Errc::io_error, "planted");
            return true;
        }
    } broken(Sectors(1000));
    f.volume->external_origin = &broken;
    std::vector<std::byte> bytes(4096);
    CHECK(code_of(f.io(IoKind::read, 0, 4096, bytes.data())) == Errc::io_error);
    CHECK(code_of(f.io(IoKind::write, 0, 4096, bytes.data())) == Errc::io_error);
    CHECK(f.pool->mode() == PoolMode::write);
    CHECK(f.pool->status().data_used == DataBlocks(0));
    // A whole block needs nothing of it.
    std::vector<std::byte> whole(65536, std::byte{5});
    CHECK(f.io(IoKind::write, 65536, whole.size(), whole.data()).has_value());
}

TEST_CASE("a thin volume as a device is only read, within its size, and tells what failed") {
    PoolFixture f;
    f.start(IoKind::write, 0);
    ThinQueue queue(*f.pool, *f.volume, ThinQueue::Pools::other);
    std::vector<std::byte> bytes(8192, std::byte{1});
    for (const auto& refused : {write_now(queue, Sector(0), bytes), flush_now(queue),
                                zero_now(queue, Sector(0), Sectors(8))})
        CHECK(code_of(refused) == Errc::read_only);
    const Sector last = end_of(queue.size()) - Sectors(8);
    CHECK(code_of(read_now(queue, last, bytes)) == Errc::invalid_argument);
    CHECK(queue.in_flight() == 0);

    // In pieces, the first of which is there.
    const std::array<iovec, 2> parts{iovec{bytes.data(), 4096}, iovec{bytes.data() + 4096, 4096}};
    const auto read = [&](Result<> expected) {
        Request request;
        bool done = false;
        request.length = Sectors(16);
        request.data = parts;
        request.owner = &done;
        request.done = [](Request& r) { *static_cast<bool*>(r.owner) = true; };
        REQUIRE_FALSE(queue.submit(request));
        CHECK(queue.in_flight() == 1);
        queue.poll(true);
        REQUIRE(done);
        CHECK(code_of(request.outcome) == code_of(expected));
    };
    read({});
    CHECK(std::count(bytes.begin(), bytes.end(), std::byte{7}) == 8192);
    must(f.pool->settle());
    std::fill_n(f.md.bytes().begin(), metadata_block_bytes, std::byte{1});
    f.pool->fail(Error(Errc::io_error, "planted"));
    f.run();
    read(Error(Errc::io_error, ""));
}

TEST_CASE("copies wait for memory when there is no more for them, and all end as they should") {
    LargeBlocks f;
    constexpr std::uint64_t large = LargeBlocks::large.n;
    constexpr std::uint64_t last = LargeBlocks::blocks - 1;
    f.ask(IoKind::write, 0, large);  // one that is mapped
    f.end_all();
    f.asked.clear();
    for (std::uint64_t b = 1; b <= last; ++b) f.ask(IoKind::read, b * large, 512);
    f.ask(IoKind::write, last * large + 512, 512);
    f.ask(IoKind::write, (last - 1) * large + 512, 4096);
    f.ask(IoKind::write, 1024, 512);  // smaller than what the device writes
    for (int i = 0; i < 10; ++i) f.pool->run_once();
    CHECK(f.origin.in_flight() == 32);  // megabytes
    f.end_all();
    for (std::uint64_t b = 1; b <= last; ++b) CHECK(f.count(b - 1, std::byte{3}) == 512);
    f.asked.clear();
    f.ask(IoKind::read, (last - 1) * large, 2 * large);
    f.ask(IoKind::read, 0, large);
    f.end_all();
    CHECK(f.count(0, std::byte{3}) == 512 + 3584);
    CHECK(f.count(0, std::byte{4}) == 4096 + 512);
    CHECK(f.count(1, std::byte{4}) == static_cast<std::int64_t>(large));
    must(f.pool->settle());
    require_clean(f.md);
    f.pool->close_volume(*f.volume);
}

}  // namespace thinvol
