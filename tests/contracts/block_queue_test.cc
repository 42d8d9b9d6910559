// Goal: every BlockQueue does what block_queue.h says, so that the engine may run on any of them.
// Method: one suite over each implementation.
#include "engine/block_queue.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch_template_test_macros.hpp>

#include "engine/file_queue.h"
#include "engine/linear_queue.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/sim_device.h"

namespace thinvol {
namespace {

constexpr Sectors device_size{4096};

struct Memory {
    MemoryQueue queue{device_size};
};
struct Simulated {
    Trace trace;
    SimDevice queue{trace, 0, std::vector<std::byte>(to_bytes(device_size).n), 1};
};
template <bool direct, bool with_ring>
struct File {
    TemporaryDirectory dir;
    std::unique_ptr<Ring> ring = with_ring ? must(Ring::open(64)) : nullptr;
    FileQueue queue = make();

    FileQueue make() {
        const auto path = dir.path() / "file";
        UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        REQUIRE(fd);
        REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(to_bytes(device_size).n)) == 0);
        if (direct) fd = UniqueFd(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        REQUIRE(fd);  // TMPDIR must allow O_DIRECT
        return FileQueue(std::move(fd), path,
                         {direct, direct ? Sectors(8) : Sectors(1), device_size, ring.get()});
    }
};
struct Linear {  // three pieces of two devices
    MemoryQueue a{Sectors(3000)};
    MemoryQueue b{Sectors(3000)};
    LinearQueue queue{{{&a, Sector(8), Sectors(1000)},
                       {&b, Sector(0), Sectors(2000)},
                       {&a, Sector(2000), Sectors(1000)},
                       {&b, Sector(2900), Sectors(96)}}};
};
struct LinearOverSimulated {
    Trace trace;
    SimDevice a{trace, 0, std::vector<std::byte>(512 * 3000), 1};
    SimDevice b{trace, 1, std::vector<std::byte>(512 * 3000), 2};
    LinearQueue queue{{{&a, Sector(8), Sectors(2008)}, {&b, Sector(0), Sectors(2088)}}};
};

}  // namespace

TEMPLATE_TEST_CASE("a block queue keeps what is written, wherever it lies", "", Memory, Simulated,
                   Linear, LinearOverSimulated, (File<false, false>), (File<false, true>),
                   (File<true, false>), (File<true, true>)) {
    TestType device;
    BlockQueue& queue = device.queue;
    REQUIRE(queue.size() == device_size);
    std::vector<std::byte> model(to_bytes(device_size).n);
    Random random(5);
    const std::uint64_t g = queue.granule().n;
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t at = random.below(device_size.n / g) * g;
        const std::uint64_t n = std::min(device_size.n - at, (1 + random.below(600 / g)) * g);
        const auto begin = model.begin() + static_cast<std::ptrdiff_t>(at * 512);
        std::vector<std::byte> bytes(n * 512 + 24);
        const std::size_t shift = random.below(3) * 8;  // unaligned memory too
        const auto window = std::span(bytes).subspan(shift, n * 512);
        const std::uint64_t kind = random.below(5);
        if (kind < 2) {
            for (auto& b : window) b = static_cast<std::byte>(random());
            std::copy(window.begin(), window.end(), begin);
            must(write_now(queue, Sector(at), window, kind == 0));
        } else if (kind == 2) {
            Request zero;
            zero.op = Op::write_zeroes;
            zero.at = Sector(at);
            zero.length = Sectors(n);
            bool done = false;
            zero.owner = &done;
            zero.done = [](Request& r) { *static_cast<bool*>(r.owner) = true; };
            if (!queue.submit(zero))
                while (!done) queue.poll(true);
            must(std::move(zero.outcome));
            std::fill(begin, begin + static_cast<std::ptrdiff_t>(n * 512), std::byte(0));
        } else {
            if (kind == 3) must(flush_now(queue));
            must(read_now(queue, Sector(at), window));
            REQUIRE(std::equal(window.begin(), window.end(), begin));
        }
    }
    CHECK(queue.in_flight() == 0);
}

TEMPLATE_TEST_CASE("a block queue takes scattered memory and many requests at once", "", Memory,
                   Simulated, Linear, LinearOverSimulated, (File<false, false>),
                   (File<false, true>), (File<true, false>), (File<true, true>)) {
    TestType device;
    BlockQueue& queue = device.queue;
    std::vector<std::byte> first(4096 * 3, std::byte(1));
    std::vector<std::byte> second(4096, std::byte(2));
    const std::array<iovec, 3> parts{iovec{first.data(), 4096}, iovec{second.data(), 4096},
                                     iovec{first.data() + 4096, 8192}};
    std::array<Request, 100> requests;
    std::size_t done = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        Request& r = requests[i];
        r.op = Op::write;
        r.at = Sector(i * 32);
        r.length = Sectors(32);
        r.data = parts;
        r.owner = &done;
        r.done = [](Request& x) { ++*static_cast<std::size_t*>(x.owner); };
        if (queue.submit(r)) ++done;
    }
    while (done < requests.size()) queue.poll(true);
    std::vector<std::byte> back(16384);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        must(std::move(requests[i].outcome));
        must(read_now(queue, Sector(i * 32), back));
        for (std::size_t b = 0; b < back.size(); ++b)
            REQUIRE(back[b] == std::byte(b / 4096 == 1 ? 2 : 1));
    }
}

TEMPLATE_TEST_CASE("a block queue refuses what is outside the device or misaligned", "", Memory,
                   Simulated, Linear, (File<false, false>), (File<true, true>)) {
    TestType device;
    std::vector<std::byte> bytes(8192);
    CHECK(read_now(device.queue, Sector(4088), bytes).error().code == Errc::invalid_argument);
    CHECK(write_now(device.queue, Sector(4096), bytes).error().code == Errc::invalid_argument);
    CHECK(write_now(device.queue, Sector(~0ULL), bytes).error().code == Errc::invalid_argument);
    if (device.queue.granule() > Sectors(1))
        CHECK(write_now(device.queue, Sector(1), bytes).error().code == Errc::invalid_argument);
}

TEMPLATE_TEST_CASE("a file that became shorter is an error, not zeroes", "", (File<false, false>),
                   (File<false, true>), (File<true, false>), (File<true, true>)) {
    TestType device;
    REQUIRE(::truncate((device.dir.path() / "file").c_str(), 4096) == 0);
    std::vector<std::byte> bytes(8192);
    const auto outcome = read_now(device.queue, Sector(0), bytes);
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().text.find("the file ends at byte 4096") != std::string::npos);
}

TEST_CASE("flushes of a file that was not written since reach nobody") {
    File<false, false> device;
    must(flush_now(device.queue));  // what others left
    CHECK(device.queue.flushes() == 1);
    must(flush_now(device.queue));
    CHECK(device.queue.flushes() == 1);
    std::vector<std::byte> bytes(4096);
    must(write_now(device.queue, Sector(0), bytes));
    must(flush_now(device.queue));
    CHECK(device.queue.flushes() == 2);
    must(write_now(device.queue, Sector(0), bytes, true));
    must(flush_now(device.queue));
    CHECK(device.queue.flushes() == 3);
}

}  // namespace thinvol
