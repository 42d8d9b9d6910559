// Goal: a comparison of two volumes says of each virtual block which of them maps it and where, in
// runs that are as long as they can be.
// Method: volumes with a common past and random histories since, compared with two plain maps.
#include "engine/delta.h"

#include <map>

#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

using Mappings = std::map<std::uint64_t, std::uint64_t>;  // virtual to data block
using Kind = DeltaRun::Kind;

struct Volumes {
    Volumes()
        : device(Sectors(8 * 512)),
          md(must(ThinMetadata::format(device, Sectors(128), DataBlocks(16000), {}))) {
        must(md->create_thin(ThinId::checked(0)));
    }
    ThinDevice& volume(std::uint32_t id) { return *must(md->device(ThinId::checked(id))); }
    void map(std::uint32_t id, std::uint64_t at) {
        const DataBlock b = must(md->reserve());
        must(md->insert(volume(id), VirtualBlock(at), b));
        model[id][at] = b.n;
    }
    void unmap(std::uint32_t id, std::uint64_t begin, std::uint64_t end) {
        VirtualBlock at(begin);
        while (at < VirtualBlock(end))
            at = must(md->unmap(volume(id), at, VirtualBlock(end), 1000));
        model[id].erase(model[id].lower_bound(begin), model[id].lower_bound(end));
    }
    void snapshot(std::uint32_t id, std::uint32_t origin) {
        must(md->create_snapshot(ThinId::checked(id), ThinId::checked(origin)));
        model[id] = model[origin];
    }
    // Forwards, backwards and in between, so that runs on one side are none on the other.
    void change(std::uint32_t id, Random& random) {
        const std::uint64_t begin = random.below(900);
        const std::uint64_t n = 1 + random.below(random.one_in(3) ? 300 : 5);
        if (random.one_in(3)) return unmap(id, begin, begin + n);
        const bool backwards = random.one_in(3);
        for (std::uint64_t i = 0; i < n; ++i) map(id, begin + (backwards ? n - 1 - i : i));
    }
    std::vector<DeltaRun> compare(std::uint32_t left, std::uint32_t right) {
        commit(*md, device);
        std::vector<DeltaRun> runs;
        must(compare_volumes(device, must(Superblock::read(device)), volume(left).root,
                             volume(right).root, [&](const DeltaRun& run) {
                                 runs.push_back(run);
                                 return Result<>();
                             }));
        return runs;
    }

    MemoryQueue device;
    std::unique_ptr<ThinMetadata> md;
    std::map<std::uint32_t, Mappings> model;
};

// The runs put together again, if they are in order.
std::pair<Mappings, Mappings> sides_of(const std::vector<DeltaRun>& runs) {
    std::pair<Mappings, Mappings> sides;
    std::uint64_t end = 0;
    for (const DeltaRun& run : runs) {
        REQUIRE(run.length > 0);
        REQUIRE(run.begin.n >= end);
        end = run.begin.n + run.length;
        for (std::uint64_t i = 0; i < run.length; ++i) {
            if (run.kind != Kind::right_only) sides.first[run.begin.n + i] = run.left.n + i;
            if (run.kind != Kind::left_only) sides.second[run.begin.n + i] = run.right.n + i;
        }
        if (run.kind == Kind::same) REQUIRE(run.left == run.right);
        if (run.kind == Kind::different) REQUIRE(run.left != run.right);
    }
    return sides;
}

bool could_be_one(const DeltaRun& a, const DeltaRun& b) {
    return a.kind == b.kind && a.begin.n + a.length == b.begin.n &&
           (a.kind == Kind::right_only || a.left.n + a.length == b.left.n) &&
           (a.kind == Kind::left_only || a.right.n + a.length == b.right.n);
}

}  // namespace

TEST_CASE("a comparison has all that either volume maps, in runs that cannot be longer") {
    for (const std::uint64_t seed : test_seeds(20)) {
        Volumes v;
        Random random(seed);
        for (int i = 0; i < 6; ++i) v.change(0, random);
        v.snapshot(1, 0);
        must(v.md->create_thin(ThinId::checked(2)));
        must(v.md->create_thin(ThinId::checked(3)));  // stays empty
        v.model[3];
        for (int i = 0; i < 12; ++i) v.change(static_cast<std::uint32_t>(random.below(3)), random);
        for (const std::uint32_t left : {0U, 1U, 2U, 3U}) {
            for (const std::uint32_t right : {0U, 1U, 2U, 3U}) {
                CAPTURE(seed, left, right);
                const auto runs = v.compare(left, right);
                const auto sides = sides_of(runs);
                REQUIRE(sides.first == v.model[left]);
                REQUIRE(sides.second == v.model[right]);
                for (std::size_t i = 1; i < runs.size(); ++i)
                    REQUIRE_FALSE(could_be_one(runs[i - 1], runs[i]));
            }
        }
    }
}

TEST_CASE("what the reader of a comparison refuses ends it with that error") {
    Volumes v;
    for (const std::uint64_t at : {0U, 5U, 9U}) v.map(0, at);
    v.snapshot(1, 0);
    v.map(1, 5);
    v.map(1, 20);
    const std::size_t all = v.compare(0, 1).size();
    REQUIRE(all == 4);
    for (std::size_t n = 0; n < all; ++n) {
        std::size_t seen = 0;
        const auto ended = compare_volumes(
            v.device, must(Superblock::read(v.device)), v.volume(0).root, v.volume(1).root,
            [&](const DeltaRun&) {
                return seen++ == n ? Result<>(Error(Errc::io_error, "planted")) : Result<>();
            });
        REQUIRE_FALSE(ended.has_value());
        CHECK(ended.error().text == "planted");
        CHECK(seen == n + 1);
    }
}

}  // namespace thinvol
