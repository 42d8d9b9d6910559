// Goal: what a set of volumes is said to free is what its removal frees, to the block.
// Method: random pools of snapshots of snapshots; each answer against a recount of all mappings by
//         brute force, and against the removal itself.
#include <catch2/catch_test_macros.hpp>

#include <map>
#include <set>

#include "engine/exclusive.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

constexpr Sectors metadata_size{8192};  // 1024 blocks
constexpr DataBlocks data_size{40000};

class RandomPool {
public:
    explicit RandomPool(std::uint64_t seed) : device_(metadata_size), random_(seed) {
        md_ = must(ThinMetadata::format(device_, Sectors(128), data_size, {}));
        must(md_->create_thin(ThinId::checked(0)));
        for (std::uint64_t step = 1; step < 12; ++step) {
            for (int n = 0; n < 6; ++n) write(random_() % step);
            commit(*md_, device_);
            const ThinId id = ThinId::checked(step);
            if (step % 5 == 0) must(md_->create_thin(id));
            else must(md_->create_snapshot(id, ThinId::checked(random_() % step)));
        }
        commit(*md_, device_);
    }
    MemoryQueue& device() { return device_; }
    ThinMetadata& metadata() { return *md_; }
    std::vector<ThinId> some() {
        std::vector<ThinId> set;
        for (std::uint64_t id = 0; id < 12; ++id) {
            if (random_() % 3 == 0) set.push_back(ThinId::checked(id));
        }
        return set;
    }

private:
    void write(std::uint64_t id) {
        ThinDevice& volume = *must(md_->device(ThinId::checked(id)));
        const std::uint64_t from = random_() % 3000;
        const std::uint64_t n = random_() % 300;
        for (std::uint64_t b = from; b < from + n; ++b)
            must(md_->insert(volume, VirtualBlock(b), must(md_->reserve())));
    }
    MemoryQueue device_;
    std::mt19937_64 random_;
    std::unique_ptr<ThinMetadata> md_;
};

// Data blocks that only the set maps, from all mappings.
std::uint64_t by_brute_force(ThinMetadata& md, const std::vector<ThinId>& set) {
    std::set<std::uint64_t> of_set;
    std::set<std::uint64_t> of_others;
    for (const ThinId id : must(md.ids())) {
        const bool member =
            std::any_of(set.begin(), set.end(), [&](ThinId i) { return i.n() == id.n(); });
        const ThinDevice& volume = *must(md.device(id));
        for (std::uint64_t b = 0; b < 3300; ++b) {
            if (const auto found = must(md.lookup(volume, VirtualBlock(b))))
                (member ? of_set : of_others).insert(found->block.n);
        }
    }
    return static_cast<std::uint64_t>(std::count_if(
        of_set.begin(), of_set.end(), [&](std::uint64_t b) { return !of_others.contains(b); }));
}

}  // namespace

TEST_CASE("what a set of volumes frees is counted to the block") {
    for (const std::uint64_t seed : test_seeds(4)) {
        CAPTURE(seed);
        RandomPool pool(seed);
        const auto counter = must(ExclusiveCounter::open(pool.device()));
        for (const ListedVolume& volume : counter->volumes()) {
            const std::vector<ThinId> alone{volume.id};
            CHECK(must(counter->freed_with(alone)).data.n ==
                  by_brute_force(pool.metadata(), alone));
        }
        for (int n = 0; n < 10; ++n) {
            const auto set = pool.some();
            CHECK(must(counter->freed_with(set)).data.n == by_brute_force(pool.metadata(), set));
        }
    }
}

TEST_CASE("removal frees what was said, of data and of metadata") {
    for (const std::uint64_t seed : test_seeds(3)) {
        CAPTURE(seed);
        RandomPool pool(seed);
        const auto set = pool.some();
        const auto freed = must(must(ExclusiveCounter::open(pool.device()))->freed_with(set));
        ThinMetadata& md = pool.metadata();
        const auto data_before = md.data().used();
        const auto check_before = must(check_metadata(pool.device()));
        for (const ThinId id : set) must(md.remove(id));
        commit(md, pool.device());
        CHECK(data_before - md.data().used() == freed.data);
        const auto check_after = must(check_metadata(pool.device()));
        REQUIRE(check_after.clean());
        // The overflow tree may shrink besides.
        CHECK(check_before.metadata_used - check_after.metadata_used >= freed.metadata.n);
        CHECK(check_before.metadata_used - check_after.metadata_used <= freed.metadata.n + 4);
    }
}

TEST_CASE("a volume that is not there, or there twice in the set") {
    RandomPool pool(8);
    const auto counter = must(ExclusiveCounter::open(pool.device()));
    const std::vector<ThinId> unknown{ThinId::checked(99)};
    CHECK(counter->freed_with(unknown).error().code == Errc::not_found);
    const std::vector<ThinId> twice{ThinId::checked(0), ThinId::checked(0)};
    const std::vector<ThinId> once{ThinId::checked(0)};
    CHECK(must(counter->freed_with(twice)).data == must(counter->freed_with(once)).data);
}

}  // namespace thinvol
