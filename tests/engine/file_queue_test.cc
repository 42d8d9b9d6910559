// Goal: what a file system refuses is told apart and named; a disk that is full is no broken disk;
// a flush is answered when it is over. Method: the kernel's own always-full device, with and
// without a ring; a file.
#include "engine/file_queue.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "tests/support/metadata_fixture.h"

namespace thinvol {

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
