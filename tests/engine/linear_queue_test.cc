// Goal: a device made of segments is those segments, however often they are replaced under
// requests; what one of them refuses is the request's error.
// Method: replacements at random against a plain list of sectors; devices that hold their requests.
#include "engine/linear_queue.h"

#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/sim_device.h"

namespace thinvol {
namespace {

constexpr std::uint64_t length = 64;

struct Started {
    Request request;
    std::vector<std::byte> bytes;
    iovec part{};
    bool done = false;
};

std::unique_ptr<Started> start(BlockQueue& queue, Op op, std::uint64_t at, std::uint64_t n) {
    auto s = std::make_unique<Started>();
    s->request.op = op;
    if (op != Op::flush) {
        s->bytes.assign(n * sector_bytes, std::byte{9});
        s->part = {s->bytes.data(), s->bytes.size()};
        s->request.at = Sector(at);
        s->request.length = Sectors(n);
        s->request.data = {&s->part, 1};
    }
    s->request.owner = s.get();
    s->request.done = [](Request& r) { static_cast<Started*>(r.owner)->done = true; };
    s->done = queue.submit(s->request);
    return s;
}

struct Drained : LinearQueue::Drain {
    bool over = false;
    explicit Drained(LinearQueue& queue) {
        owner = this;
        done = [](Drain& d) { static_cast<Drained*>(d.owner)->over = true; };
        queue.drain(*this);
    }
    Drained(const Drained&) = delete;
    Drained& operator=(const Drained&) = delete;
};

// Two devices that end nothing by themselves.
struct Holding {
    Trace trace;
    SimDevice a{trace, 0, std::vector<std::byte>(sector_bytes* length), 1};
    SimDevice b{trace, 1, std::vector<std::byte>(sector_bytes* length), 2};
    Holding() {
        a.hold(true);
        b.hold(true);
    }
};

}  // namespace

TEST_CASE("whatever is replaced, each sector is where it was put, in as few segments as can be") {
    for (const std::uint64_t seed : test_seeds(20)) {
        Random random(seed);
        std::array<MemoryQueue, 3> devices{MemoryQueue(Sectors(length)),
                                           MemoryQueue(Sectors(length)),
                                           MemoryQueue(Sectors(length))};
        LinearQueue queue({{&devices[0], Sector(0), Sectors(length)}});
        std::vector<std::pair<BlockQueue*, std::uint64_t>> model;
        for (std::uint64_t s = 0; s < length; ++s) model.emplace_back(&devices[0], s);
        for (int i = 0; i < 60; ++i) {
            CAPTURE(seed, i);
            const std::uint64_t at = random.below(length);
            const std::uint64_t n = 1 + random.below(std::min<std::uint64_t>(length - at, 16));
            BlockQueue* device = &devices[random.below(devices.size())];
            const std::uint64_t there = random.one_in(2) ? at : random.below(length - n + 1);
            queue.replace(Sector(at), {device, Sector(there), Sectors(n)});
            for (std::uint64_t s = 0; s < n; ++s) model[at + s] = {device, there + s};
            std::size_t fewest = 1;
            for (std::uint64_t s = 0; s < length; ++s) {
                const LinearSegment part = queue.part_at(Sector(s), Sectors(1));
                REQUIRE(part.device == model[s].first);
                REQUIRE(part.at.n == model[s].second);
                if (s > 0 && (model[s].first != model[s - 1].first ||
                              model[s].second != model[s - 1].second + 1))
                    ++fewest;
            }
            REQUIRE(queue.segments().size() == fewest);
            REQUIRE(queue.size() == Sectors(length));
        }
    }
}

TEST_CASE("a request of several segments has the error of the one that failed first") {
    for (const bool both : {false, true}) {
        for (const Op op : {Op::write, Op::read, Op::flush}) {
            CAPTURE(both, int(op));
            Holding d;
            LinearQueue queue({{&d.a, Sector(0), Sectors(8)}, {&d.b, Sector(0), Sectors(8)}});
            if (both)
                d.a.set_fault([](const Request&) { return Error(Errc::out_of_space, "first"); });
            d.b.set_fault([](const Request&) { return Error(Errc::io_error, "second"); });
            const auto request = start(queue, op, 4, 8);
            for (int turns = 0; !request->done && turns < 100; ++turns) queue.poll(true);
            REQUIRE(request->done);
            REQUIRE_FALSE(request->request.outcome.has_value());
            CHECK(request->request.outcome.error().text == (both ? "first" : "second"));
            CHECK(queue.in_flight() == 0);
        }
    }
}

TEST_CASE("nothing is asked of a device for a request of no sectors") {
    Holding d;
    LinearQueue queue({{&d.a, Sector(0), Sectors(8)}});
    CHECK(start(queue, Op::read, 3, 0)->request.outcome.has_value());
    CHECK(start(queue, Op::write, 8, 0)->done);
    CHECK(queue.in_flight() == 0);
    CHECK(d.trace.events.empty());
    queue.poll(true);  // there is nothing to wait for
}

TEST_CASE("a device that was replaced is polled until all it had has ended") {
    Holding d;
    LinearQueue queue({{&d.a, Sector(0), Sectors(length)}});
    const auto first = start(queue, Op::write, 0, 1);
    const Drained after_first(queue);
    const auto second = start(queue, Op::write, 1, 1);
    queue.replace(Sector(0), {&d.b, Sector(0), Sectors(length)});
    queue.replace(Sector(0), {&d.a, Sector(0), Sectors(length)});
    queue.replace(Sector(0), {&d.b, Sector(0), Sectors(length)});
    const Drained after_second(queue);
    d.a.let_go(d.a.held().front());
    queue.poll(false);
    CHECK(first->done);
    CHECK(after_first.over);
    CHECK_FALSE(after_second.over);
    CHECK_FALSE(second->done);
    for (int turns = 0; !after_second.over && turns < 10; ++turns) queue.poll(true);
    CHECK(second->done);
    CHECK(after_second.over);
    must(std::move(second->request.outcome));
    CHECK(d.a.image()[sector_bytes] == std::byte{9});
    CHECK(d.b.image()[sector_bytes] == std::byte{0});
}

}  // namespace thinvol
