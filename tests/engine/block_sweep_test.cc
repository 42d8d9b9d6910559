// Goal: a sweep visits each block once with its own bytes, whoever works; a block that cannot be
//       read spoils no other.
// Method: blocks that hold their number; a device that refuses every read that touches one of them.
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "engine/block_sweep.h"
#include "tests/support/memory_queue.h"

namespace thinvol {
namespace {

constexpr std::uint64_t blocks = 1000;
constexpr std::uint64_t bad = 137;

class OneBadBlock : public MemoryQueue {
public:
    OneBadBlock() : MemoryQueue(Sectors(blocks * 8)) {
        for (std::uint64_t b = 0; b < blocks; ++b)
            store_le(bytes().data() + b * metadata_block_bytes, b);
    }
    bool submit(Request& request) override {
        const std::uint64_t first = request.at.n / 8;
        if (first <= bad && bad < first + request.length.n / 8) {
            request.outcome = Error(Errc::io_error, "bad");
            return true;
        }
        return MemoryQueue::submit(request);
    }
};

class ThreeWorkers : public Workers {
public:
    void run(const std::function<void()>& body) override {
        const std::jthread one(body);
        const std::jthread other(body);
        body();
    }
};

void check_sweep(Workers& workers) {
    OneBadBlock device;
    std::vector<MetadataBlock> wanted;
    for (std::uint64_t b = 0; b < blocks; b += b % 7 + 1) wanted.emplace_back(b);
    wanted.emplace_back(blocks - 1);
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    if (!std::binary_search(wanted.begin(), wanted.end(), MetadataBlock(bad)))
        wanted.insert(std::lower_bound(wanted.begin(), wanted.end(), MetadataBlock(bad)),
                      MetadataBlock(bad));
    std::mutex lock;
    std::multiset<std::uint64_t> seen;
    std::uint64_t failed = 0;
    sweep_blocks(device, workers, wanted,
                 [&](MetadataBlock at, const Result<ConstBlockBytes>& bytes) {
                     const std::lock_guard held(lock);
                     seen.insert(at.n);
                     if (!bytes) ++failed;
                     else if (load_le<std::uint64_t>(bytes->data()) != at.n) FAIL(at.n);
                     if (bytes.has_value() == (at.n == bad)) FAIL(at.n);
                 });
    CHECK(failed == 1);
    CHECK(seen.size() == wanted.size());
    for (const MetadataBlock b : wanted) CHECK(seen.contains(b.n));
}

}  // namespace

TEST_CASE("a sweep visits each block once, and only the bad one has an error") {
    OneWorker one;
    check_sweep(one);
    ThreeWorkers three;
    check_sweep(three);
}

}  // namespace thinvol
