// Goal: what a file system refuses is told apart and named; a disk that is full is no broken disk.
// Method: the kernel's own always-full device, with and without a ring.
#include "engine/file_queue.h"

#include <fcntl.h>

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

}  // namespace thinvol
