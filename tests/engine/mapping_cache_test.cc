// Goal: the cache of mappings never says anything but what the tree says, stays within its limit,
// and may be asked on any thread.
// Method: each change by itself; random changes of a pool's metadata with caches that hold all,
// little or next to nothing, against a plain map; readers beside a writer that gives the same few
// pages from volume to volume (for TSan, too).
#include "engine/mapping_cache.h"

#include <atomic>
#include <map>
#include <thread>

#include "engine/pool.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

using State = MappingCache::Known::State;
constexpr Bytes one_set(1);
constexpr DataBlock no_limit(max_data_block);

ThinId thin(std::uint32_t id) { return ThinId::checked(id); }

// A leaf that maps some virtual blocks and speaks for a range of them.
class TestLeaf {
public:
    explicit TestLeaf(const std::map<std::uint64_t, Mapping>& mappings = {},
                      std::uint64_t first = 0, std::uint64_t last = ~0ULL)
        : first_(first), last_(last) {
        Node node(block_.data());
        node.format(true, 8);
        for (const auto& [at, mapping] : mappings) {
            const std::uint32_t i = node.entries();
            node.open_gap(i);
            node.set_key(i, at);
            store_le<std::uint64_t>(node.value(i), pack(mapping));
        }
    }
    LeafView view() const { return {NodeView(block_.data()), first_, last_}; }

private:
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> block_{};
    std::uint64_t first_;
    std::uint64_t last_;
};

Mapping mapping(std::uint64_t block, std::uint32_t time = 1) {
    return {DataBlock(block), SnapTime::checked(time)};
}

void require_mapped(const MappingCache& cache, ThinId id, std::uint64_t at, Mapping expected) {
    const auto known = cache.find(id, VirtualBlock(at));
    REQUIRE(known.state == State::mapped);
    REQUIRE(known.mapping == expected);
}

// So often that a full set takes it in.
void insist(MappingCache& cache, ThinId id, VirtualBlock at, const TestLeaf& leaf) {
    for (int i = 0; i < 4 && cache.find(id, at).state == State::unknown; ++i)
        cache.learn(id, at, leaf.view(), no_limit);
}

// What volumes hold, without trees and caches.
struct Place {
    DataBlock block;
    bool shared;  // mapped before the volume's last snapshot, or in what it is a snapshot of
};
using Model = std::map<std::uint32_t, std::map<std::uint64_t, Place>>;

void require_equal(ThinMetadata& md, const Model& model, std::uint64_t blocks) {
    for (const auto& [id, places] : model) {
        const ThinDevice* device = must(md.device(thin(id)));
        for (std::uint64_t at = 0; at < blocks; ++at) {
            CAPTURE(id, at);
            const auto found = must(md.lookup(*device, VirtualBlock(at)));
            const auto place = places.find(at);
            REQUIRE(found.has_value() == (place != places.end()));
            if (!found) continue;
            REQUIRE(found->block == place->second.block);
            REQUIRE(found->shared == place->second.shared);
        }
    }
}

// One random change, or a few lookups, of metadata and model alike.
void step(ThinMetadata& md, Model& model, Random& random, std::uint64_t blocks) {
    auto& [n, places] = *std::next(model.begin(), static_cast<long>(random.below(model.size())));
    const ThinId id = thin(n);
    ThinDevice* device = must(md.device(id));
    const VirtualBlock at(random.below(blocks));
    const std::uint64_t kind = random.below(100);
    if (kind < 2 && model.size() < 8) {
        std::uint32_t fresh = 0;  // the lowest that is free: a removed one comes back
        while (model.contains(fresh)) ++fresh;
        if (random.one_in(4)) {
            must(md.create_thin(thin(fresh)));
            model[fresh];
        } else {
            must(md.create_snapshot(thin(fresh), id));
            for (auto& [block, place] : places) place.shared = true;
            model[fresh] = std::map(places);
        }
    } else if (kind < 3 && model.size() > 2) {
        must(md.remove(id));
        model.erase(n);
    } else if (kind < 12) {
        const VirtualBlock end(random.one_in(5) ? ~0ULL : at.n + random.below(900));
        const auto reached = must(md.unmap(*device, at, end, 1 + random.below(700)));
        places.erase(places.lower_bound(at.n), places.lower_bound(std::max(at, reached).n));
    } else if (kind < 50) {
        for (std::uint64_t i = random.below(60); i > 0; --i) {
            const VirtualBlock each((at.n + i) % blocks);
            const auto block = md.reserve();
            if (!block) return;  // full until the next commit
            must(md.insert(*device, each, *block));
            places[each.n] = {*block, false};
        }
    } else {
        for (std::uint64_t i = 0; i < 8; ++i) must(md.lookup(*device, VirtualBlock(at.n + i)));
    }
}

// Takes flushes no more once it is told so.
class FailingQueue : public MemoryQueue {
public:
    using MemoryQueue::MemoryQueue;
    bool submit(Request& request) override {
        if (!failing || request.op != Op::flush) return MemoryQueue::submit(request);
        request.outcome = Error(Errc::io_error, "planted");
        return true;
    }
    bool failing = false;
};

}  // namespace

TEST_CASE("a leaf is known as far as it speaks for the page") {
    MappingCache cache{Bytes(1 << 20)};
    const TestLeaf leaf({{600, mapping(7)}, {700, mapping(8, 9)}, {800, mapping(50)}}, 600, 900);
    cache.learn(thin(1), VirtualBlock(650), leaf.view(), DataBlock(50));
    require_mapped(cache, thin(1), 600, mapping(7));
    require_mapped(cache, thin(1), 700, mapping(8, 9));
    CHECK(cache.find(thin(1), VirtualBlock(601)).state == State::unmapped);
    CHECK(cache.find(thin(1), VirtualBlock(900)).state == State::unmapped);
    CHECK(cache.find(thin(1), VirtualBlock(599)).state == State::unknown);
    CHECK(cache.find(thin(1), VirtualBlock(901)).state == State::unknown);
    CHECK(cache.find(thin(1), VirtualBlock(800)).state == State::unknown);  // outside the pool
    CHECK(cache.find(thin(2), VirtualBlock(600)).state == State::unknown);
    CHECK(cache.find(thin(1), VirtualBlock(600 + 512)).state == State::unknown);

    const TestLeaf rest({{950, mapping(9)}}, 901, 2000);
    cache.learn(thin(1), VirtualBlock(950), rest.view(), no_limit);
    require_mapped(cache, thin(1), 950, mapping(9));
    require_mapped(cache, thin(1), 600, mapping(7));
}

TEST_CASE("what a change says is what is found") {
    MappingCache cache{Bytes(1 << 20)};
    const TestLeaf nothing;
    for (const std::uint64_t at : {0U, 512U, 1024U})
        cache.learn(thin(1), VirtualBlock(at), nothing.view(), no_limit);
    cache.learn(thin(2), VirtualBlock(512), nothing.view(), no_limit);
    for (std::uint64_t at = 0; at < 1536; ++at) cache.map(thin(1), VirtualBlock(at), mapping(at));
    cache.map(thin(2), VirtualBlock(600), mapping(5000));
    cache.map(thin(1), VirtualBlock(3), mapping(4000, 2));
    cache.map(thin(1), VirtualBlock(2000), mapping(1));  // in no page: stays out
    require_mapped(cache, thin(1), 3, mapping(4000, 2));
    require_mapped(cache, thin(1), 1535, mapping(1535));
    CHECK(cache.find(thin(1), VirtualBlock(2000)).state == State::unknown);

    SECTION("a range is unmapped, and not a block beside it") {
        cache.unmap(thin(1), VirtualBlock(500), VirtualBlock(1030));
        require_mapped(cache, thin(1), 499, mapping(499));
        require_mapped(cache, thin(1), 1030, mapping(1030));
        for (std::uint64_t at = 500; at < 1030; ++at)
            REQUIRE(cache.find(thin(1), VirtualBlock(at)).state == State::unmapped);
    }
    SECTION("so is a range with more pages than the cache has") {
        cache.unmap(thin(1), VirtualBlock(500), VirtualBlock(~0ULL));
        require_mapped(cache, thin(1), 499, mapping(499));
        for (std::uint64_t at = 500; at < 1536; ++at)
            REQUIRE(cache.find(thin(1), VirtualBlock(at)).state == State::unmapped);
    }
    SECTION("a volume that is gone is forgotten") {
        cache.forget(thin(1));
        for (std::uint64_t at = 0; at < 1536; ++at)
            REQUIRE(cache.find(thin(1), VirtualBlock(at)).state == State::unknown);
    }
    require_mapped(cache, thin(2), 600, mapping(5000));
}

TEST_CASE("the ends of the format's ranges are found, or unknown, but never wrong") {
    MappingCache cache(one_set);
    const TestLeaf nothing;
    const std::uint64_t last_kept = (1ULL << 48) - 1;
    cache.learn(thin(ThinId::max), VirtualBlock(last_kept), nothing.view(), no_limit);
    cache.map(thin(ThinId::max), VirtualBlock(last_kept), mapping(0, 0));
    require_mapped(cache, thin(ThinId::max), last_kept, mapping(0, 0));
    for (const std::uint32_t time : {0U, SnapTime::max - 2, SnapTime::max - 1, SnapTime::max}) {
        const Mapping last = mapping(max_data_block, time);
        cache.map(thin(ThinId::max), VirtualBlock(last_kept), last);
        const auto known = cache.find(thin(ThinId::max), VirtualBlock(last_kept));
        CHECK(known.state != State::unmapped);
        if (time < SnapTime::max - 1) CHECK(known.mapping == last);
        else CHECK(known.state == State::unknown);
    }
    for (const std::uint64_t beyond : {last_kept + 1, ~std::uint64_t{0}}) {
        cache.learn(thin(0), VirtualBlock(beyond), nothing.view(), no_limit);
        cache.map(thin(0), VirtualBlock(beyond), mapping(1));
        cache.unmap(thin(0), VirtualBlock(beyond), VirtualBlock(~0ULL));
        CHECK(cache.find(thin(0), VirtualBlock(beyond)).state == State::unknown);
    }
}

TEST_CASE("no more pages are known than the limit has memory for") {
    for (const std::uint64_t limit : {1U, 70000U, 1U << 20}) {
        MappingCache cache{Bytes(limit)};
        CHECK(cache.pages() * MappingCache::page_entries * 8 <=
              std::max<std::uint64_t>(limit, 17 << 10));
        std::uint64_t known = 0;
        const TestLeaf nothing;
        const std::uint64_t end = 4 * cache.pages() * MappingCache::page_entries;
        for (std::uint64_t at = 0; at < end; at += MappingCache::page_entries)
            insist(cache, thin(1), VirtualBlock(at), nothing);
        for (std::uint64_t at = 0; at < end; at += MappingCache::page_entries)
            known += cache.find(thin(1), VirtualBlock(at)).state == State::unmapped ? 1 : 0;
        CHECK(known == cache.pages());
    }
}

TEST_CASE("a page in use outlives others that are looked at once") {
    MappingCache cache(one_set);
    const TestLeaf nothing;
    cache.learn(thin(1), VirtualBlock(0), nothing.view(), no_limit);
    for (std::uint64_t page = 1; page < 100; ++page) {
        REQUIRE(cache.find(thin(1), VirtualBlock(0)).state == State::unmapped);
        cache.learn(thin(1), VirtualBlock(page * MappingCache::page_entries), nothing.view(),
                    no_limit);
    }
}

TEST_CASE("whatever the cache holds, a lookup says what was mapped") {
    for (const std::uint64_t seed : test_seeds(12)) {
        const Bytes limit(std::array{1ULL, 70000ULL, 8ULL << 20}[seed % 3]);
        CAPTURE(seed, limit.n);
        Random random(seed);
        const std::uint64_t blocks = 600 + random.below(5000);
        MemoryQueue device(Sectors(8192 * 8));
        auto md = must(ThinMetadata::format(device, Sectors(128), DataBlocks(60000),
                                            {.mapping_cache = limit}));
        must(md->create_thin(thin(0)));
        Model model{{0, {}}};
        for (int i = 0; i < 1500; ++i) {
            step(*md, model, random, blocks);
            if (random.one_in(20)) commit(*md, device);
            if (random.one_in(60)) require_equal(*md, model, blocks);
        }
        require_equal(*md, model, blocks);
    }
}

TEST_CASE("a pool that dropped its last transaction looks up what is durable") {
    FailingQueue metadata(Sectors(1024 * 8));
    MemoryQueue data(Sectors(64 * 128));
    auto pool = must(Pool::create(metadata, data, Sectors(128), {}));
    must(pool->metadata().create_thin(thin(0)));
    must(pool->settle());
    Volume& volume = *must(pool->open_volume(thin(0), Bytes(1 << 22), false));
    const auto is_mapped = [&](std::uint64_t at) {
        return must(pool->metadata().lookup(*volume.device, VirtualBlock(at))).has_value();
    };
    const auto map = [&](std::uint64_t at) {
        REQUIRE_FALSE(is_mapped(at));
        const DataBlock block = must(pool->metadata().reserve());
        must(pool->metadata().insert(*volume.device, VirtualBlock(at), block));
        REQUIRE(is_mapped(at));
    };
    map(3);
    must(pool->settle());
    map(4);
    metadata.failing = true;
    REQUIRE_FALSE(pool->settle().has_value());
    REQUIRE(pool->mode() == PoolMode::read_only);
    CHECK(is_mapped(3));
    CHECK_FALSE(is_mapped(4));
}

TEST_CASE("threads that look while pages change hands never see another volume's mapping") {
    MappingCache cache(one_set);
    constexpr std::uint32_t volumes = 9;  // for four ways
    const auto block_of = [](std::uint32_t id, std::uint64_t at) { return id * 1000 + at; };
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> wrong = 0;
    std::atomic<std::uint64_t> hits = 0;
    const auto look = [&] {
        Random random(1);
        while (!stop) {
            const auto id = static_cast<std::uint32_t>(random.below(volumes));
            const std::uint64_t at = random.below(MappingCache::page_entries);
            const auto known = cache.find(thin(id), VirtualBlock(at));
            if (known.state != State::mapped) continue;
            ++hits;
            if (known.mapping.block.n != block_of(id, at)) ++wrong;
        }
    };
    std::thread one(look);
    std::thread two(look);
    const TestLeaf nothing;
    Random random(2);
    for (std::uint64_t turn = 0; turn < 3000 || hits < 1000; ++turn) {
        const auto id = static_cast<std::uint32_t>(random.below(volumes));
        if (random.one_in(16)) cache.forget(thin(id));
        if (random.one_in(8)) cache.unmap(thin(id), VirtualBlock(100), VirtualBlock(300));
        insist(cache, thin(id), VirtualBlock(0), nothing);
        for (std::uint64_t at = 0; at < MappingCache::page_entries; ++at)
            cache.map(thin(id), VirtualBlock(at), mapping(block_of(id, at)));
    }
    stop = true;
    one.join();
    two.join();
    CHECK(wrong == 0);
}

}  // namespace thinvol
