// Goal: who waits for a lock gets it in its turn, and who gives up leaves it to the others.
// Method: threads with descriptors of their own, which are as many holders; the kernel's list of
// locks says who waits.
#include "libvm/file_lock.h"

#include <sys/stat.h>

#include <fstream>
#include <mutex>
#include <thread>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

int waiting_for(const std::filesystem::path& path) {
    struct stat file{};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    const std::string inode = ":" + std::to_string(file.st_ino) + " ";
    std::ifstream locks("/proc/locks");
    int waiting = 0;
    for (std::string line; std::getline(locks, line);)
        waiting += line.contains("->") && line.contains(inode) ? 1 : 0;
    return waiting;
}

}  // namespace

TEST_CASE("those who wait for a lock get it in the order in which they came") {
    constexpr int waiters = 8;
    const TemporaryDirectory dir;
    const auto path = dir.path() / "lock";
    auto held = std::make_unique<FileLock>(must(FileLock::try_exclusive(path)));
    std::mutex mutex;
    std::vector<int> order;
    std::vector<std::jthread> threads;
    for (int n = 0; n < waiters; ++n) {
        threads.emplace_back([&, n] {
            const auto lock = FileLock::exclusive(path, std::chrono::minutes(5));
            const std::lock_guard guard(mutex);  // for TSan, which does not know file locks
            order.push_back(lock ? n : -1);
        });
        while (waiting_for(path) <= n) std::this_thread::yield();
    }
    held.reset();
    threads.clear();
    CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("who gives up waiting for a lock takes it from nobody later") {
    const TemporaryDirectory dir;
    const auto path = dir.path() / "lock";
    auto held = std::make_unique<FileLock>(must(FileLock::try_exclusive(path)));
    const auto refused = FileLock::exclusive(path, std::chrono::milliseconds(1));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::busy);
    CHECK_THAT(refused.error().text, Catch::Matchers::ContainsSubstring("for 1ms"));
    held.reset();
    CHECK(FileLock::exclusive(path, std::chrono::minutes(5)).has_value());
}

}  // namespace thinvol
