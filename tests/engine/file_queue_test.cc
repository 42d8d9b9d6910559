// Goal: what a file system refuses is told apart and named; a disk that is full is no broken disk;
// a flush is answered when it is over; what a file cannot do is done in another way. Method: the
// kernel's own always-full device, files in memory, descriptors that only read or only write, each
// with and without a ring.
#include "engine/file_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

constexpr Sectors file_size{8192};  // 4 MiB: more than is zeroed by writing

// What came of it, on the spot or later.
Result<> outcome_of(BlockQueue& queue, Op op, Sector at, Sectors length) {
    std::vector<std::byte> bytes(to_bytes(length).n, std::byte(7));
    const iovec part{bytes.data(), bytes.size()};
    Request request;
    request.op = op;
    request.at = at;
    request.length = length;
    if (op == Op::read || op == Op::write) request.data = {&part, 1};
    bool done = false;
    request.owner = &done;
    request.done = [](Request& r) { *static_cast<bool*>(r.owner) = true; };
    if (!queue.submit(request))
        while (!done) queue.poll(true);
    CHECK(queue.in_flight() == 0);
    return std::move(request.outcome);
}

UniqueFd file_in_memory() {
    UniqueFd fd(::memfd_create("file", MFD_CLOEXEC));
    REQUIRE(fd);
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(to_bytes(file_size).n)) == 0);
    return fd;
}

FileQueue queue_of(const char* path, int flags, Ring* ring) {
    UniqueFd fd(::open(path, flags | O_CLOEXEC));
    REQUIRE(fd);
    return FileQueue(std::move(fd), path, {false, Sectors(1), file_size, ring, true});
}

// Each with nothing, and with a ring.
struct Rings {
    std::unique_ptr<Ring> ring = must(Ring::open(8));
    std::array<Ring*, 2> both{nullptr, ring.get()};
};

// As many descriptors as there are, and no more, for as long as it lives.
class NoMoreDescriptors {
public:
    NoMoreDescriptors() {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        const UniqueFd lowest_free(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        const rlimit limit{static_cast<rlim_t>(lowest_free.get()), before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    NoMoreDescriptors(const NoMoreDescriptors&) = delete;
    NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
    ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

}  // namespace

TEST_CASE("what a file refuses is an error with its name, what was tried, and why") {
    struct Row {
        Op op;
        Sectors length;
        int flags;
        const char* text;
    };
    const std::array<Row, 6> rows{{
        {Op::read, Sectors(8), O_WRONLY, "read"},
        {Op::write, Sectors(8), O_RDONLY, "write"},
        {Op::write, Sectors(4096), O_RDONLY, "write"},
        {Op::discard, Sectors(8), O_RDONLY, "discard"},
        {Op::write_zeroes, Sectors(8), O_RDONLY, "write"},
        {Op::write_zeroes, Sectors(4096), O_RDONLY, "zero"},
    }};
    const TemporaryDirectory dir;
    const std::string path = dir.path() / "file";
    const UniqueFd made(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(made.get(), static_cast<off_t>(to_bytes(file_size).n)) == 0);
    const Rings rings;
    for (Ring* ring : rings.both) {
        for (const Row& row : rows) {
            CAPTURE(ring != nullptr, int(row.op), row.length.n);
            FileQueue queue = queue_of(path.c_str(), row.flags, ring);
            const auto refused = outcome_of(queue, row.op, Sector(8), row.length);
            REQUIRE_FALSE(refused.has_value());
            CHECK(refused.error().code == Errc::io_error);
            CHECK(refused.error().text ==
                  fmt::format("{} {}: Bad file descriptor", row.text, path));
        }
    }
}

TEST_CASE("after a flush that failed no later one succeeds, and reads go on") {
    const Rings rings;
    for (Ring* ring : rings.both) {
        CAPTURE(ring != nullptr);
        FileQueue queue = queue_of("/dev/full", O_RDWR, ring);  // it knows no flushes
        const auto first = outcome_of(queue, Op::flush, Sector(0), Sectors(0));
        REQUIRE_FALSE(first.has_value());
        CHECK(first.error().code == Errc::io_error);
        CHECK(first.error().text == "flush /dev/full: Invalid argument");
        for (int again = 0; again < 2; ++again) {
            const auto later = outcome_of(queue, Op::flush, Sector(0), Sectors(0));
            REQUIRE_FALSE(later.has_value());
            CHECK(later.error().code == Errc::io_error);
            CHECK(later.error().text == "flush /dev/full: an earlier flush failed");
        }
        CHECK(queue.flushes() == 1);
        CHECK(outcome_of(queue, Op::read, Sector(0), Sectors(8)).has_value());
    }
}

TEST_CASE("where holes cannot be punched a discard does nothing, and zeroes are written") {
    const Rings rings;
    for (Ring* ring : rings.both) {
        for (const Sectors length : {Sectors(8), Sectors(6000)}) {
            CAPTURE(ring != nullptr, length.n);
            FileQueue endless = queue_of("/dev/zero", O_RDWR, ring);
            CHECK(outcome_of(endless, Op::discard, Sector(8), length).has_value());
            CHECK(outcome_of(endless, Op::write_zeroes, Sector(8), length).has_value());
            FileQueue full = queue_of("/dev/full", O_RDWR, ring);
            CHECK(outcome_of(full, Op::discard, Sector(8), length).has_value());
            const auto refused = outcome_of(full, Op::write_zeroes, Sector(8), length);
            REQUIRE_FALSE(refused.has_value());
            CHECK(refused.error().code == Errc::out_of_space);
            CHECK(refused.error().text == "write /dev/full: No space left on device");
        }
    }
}

TEST_CASE("a file in memory reads back what was written, zeroed and discarded") {
    const Rings rings;
    for (Ring* ring : rings.both) {
        for (const Op op : {Op::write_zeroes, Op::discard}) {
            CAPTURE(ring != nullptr, int(op));
            FileQueue queue(file_in_memory(), "file", {false, Sectors(1), file_size, ring, false});
            must(outcome_of(queue, Op::write, Sector(0), file_size));
            must(outcome_of(queue, op, Sector(1000), Sectors(5000)));
            std::vector<std::byte> expected(to_bytes(file_size).n, std::byte(7));
            std::fill_n(expected.begin() + 1000 * 512, 5000 * 512, std::byte(0));
            std::vector<std::byte> back(expected.size());
            must(read_now(queue, Sector(0), back));
            CHECK(back == expected);
        }
    }
}

// Files of /proc have nothing in the page cache, nor do they say what would be there at once.
TEST_CASE("a file that has to be waited for is read through the ring, the second time too") {
    const Rings rings;
    std::array<std::vector<std::byte>, 3> seen;
    for (auto& bytes : seen) bytes.resize(512);
    FileQueue plain = queue_of("/proc/kallsyms", O_RDONLY, nullptr);
    must(read_now(plain, Sector(0), seen[0]));
    FileQueue queue = queue_of("/proc/kallsyms", O_RDONLY, rings.ring.get());
    must(read_now(queue, Sector(0), seen[1]));
    must(read_now(queue, Sector(0), seen[2]));
    CHECK(seen[1] == seen[0]);
    CHECK(seen[2] == seen[0]);
}

TEST_CASE("without a descriptor to be had there is no other thread's queue, and no ring") {
    FileQueue queue(file_in_memory(), "file", {false, Sectors(1), file_size, nullptr, false});
    std::optional<Error> no_queue;
    std::optional<Error> no_ring;
    {
        const NoMoreDescriptors none;
        if (auto sibling = queue.sibling(nullptr); !sibling) no_queue = sibling.error();
        if (auto ring = Ring::open(8); !ring) no_ring = ring.error();
    }
    REQUIRE(no_queue);
    CHECK(no_queue->code == Errc::io_error);
    CHECK(no_queue->text == "open again file: Too many open files");
    REQUIRE(no_ring);
    CHECK(no_ring->code == Errc::unsupported);
    CHECK(no_ring->text == "io_uring: Too many open files");
    CHECK(queue.sibling(nullptr).has_value());
}

TEST_CASE("a write that finds no space is out_of_space, names the file, and spoils nothing else") {
    const auto ring = must(Ring::open(8));
    for (Ring* used : {static_cast<Ring*>(nullptr), ring.get()}) {
        CAPTURE(used != nullptr);
        UniqueFd fd(::open("/dev/full", O_RDWR | O_CLOEXEC));
        REQUIRE(fd);
        FileQueue queue(std::move(fd), "/dev/full", {false, Sectors(1), Sectors(64), used, false});
        std::vector<std::byte> block(4096, std::byte(7));
        const auto refused = write_now(queue, Sector(8), block);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == Errc::out_of_space);
        CHECK(refused.error().text.find("/dev/full") != std::string::npos);
        must(read_now(queue, Sector(0), block));  // that device reads as zeroes
        CHECK(block == std::vector<std::byte>(4096));
    }
}

// Two devices on one file: what one of them flushes, the other may not take for done.
TEST_CASE("a flush is not answered by one that is still in flight") {
    const auto ring = must(Ring::open(8));
    const TemporaryDirectory dir;
    UniqueFd fd(::open((dir.path() / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(fd);
    REQUIRE(::ftruncate(fd.get(), 1 << 20) == 0);
    FileQueue queue(std::move(fd), "file", {false, Sectors(1), Sectors(2048), ring.get(), false});
    const std::vector<std::byte> block(4096, std::byte(7));
    must(write_now(queue, Sector(8), block));
    std::array<Request, 2> flushes;
    int done = 0;
    for (Request& flush : flushes) {
        flush.op = Op::flush;
        flush.owner = &done;
        flush.done = [](Request& r) { ++*static_cast<int*>(r.owner); };
        CHECK_FALSE(queue.submit(flush));
    }
    while (done < 2) queue.poll(true);
    CHECK(queue.flushes() == 2);
    must(flush_now(queue));
    CHECK(queue.flushes() == 2);
}

}  // namespace thinvol
