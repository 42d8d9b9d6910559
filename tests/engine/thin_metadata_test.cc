// Goal: whatever is done to volumes and mappings, the metadata holds exactly that, and every judge
// agrees.
// Method: random operations against a plain map, a full recount at each commit, thin_check at some;
// the limits of the format from both sides.
#include "engine/thin_metadata.h"

#include <cstring>
#include <map>

#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

using Model = std::map<std::uint32_t,
                       std::map<std::uint64_t, std::uint64_t>>;  // volume -> virtual -> data block

struct Pool {
    explicit Pool(std::uint64_t metadata_blocks, std::uint64_t data_blocks)
        : device(Sectors(metadata_blocks * 8)),
          md(must(ThinMetadata::format(device, Sectors(128), DataBlocks(data_blocks), {}))) {}

    ThinDevice& volume(std::uint32_t id) { return *must(md->device(ThinId::checked(id))); }
    std::byte* root_of(std::uint32_t id) {  // as it lies on the device
        return device.bytes().data() + volume(id).root.n * metadata_block_bytes;
    }
    void reopen() {
        commit(*md, device);
        md = must(ThinMetadata::open(device, {}));
    }
    void require_equal(const Model& model) {
        REQUIRE(must(md->ids()).size() == model.size());
        for (const auto& [id, mappings] : model) {
            CAPTURE(id);
            REQUIRE(volume(id).details.mapped_blocks == mappings.size());
            for (const auto& [at, block] : mappings) {
                const auto found = must(md->lookup(volume(id), VirtualBlock(at)));
                REQUIRE(found);
                REQUIRE(found->block.n == block);
            }
        }
    }

    MemoryQueue device;
    std::unique_ptr<ThinMetadata> md;
};

void put_checksum_right(std::byte* node) {
    store_le(node,
             checksum_of(BlockKind::mapping_node, ConstBlockBytes(node, metadata_block_bytes)));
}

// One random operation on pool and model alike. `dense`: how close together virtual blocks lie.
void step(Pool& pool, Model& model, Random& random, std::uint64_t dense) {
    const auto pick = [&] {
        return std::next(model.begin(), static_cast<std::ptrdiff_t>(random.below(model.size())));
    };
    const std::uint64_t kind = model.empty() ? 0 : random.below(100);
    const auto fresh_id = static_cast<std::uint32_t>(model.empty() ? 0 : model.rbegin()->first + 1);
    if (kind < 4 && model.size() < 12) {
        must(pool.md->create_thin(ThinId::checked(fresh_id)));
        model[fresh_id];
    } else if (kind < 8 && model.size() < 12) {
        const auto origin = pick();
        must(pool.md->create_snapshot(ThinId::checked(fresh_id), ThinId::checked(origin->first)));
        model[fresh_id] = origin->second;
    } else if (kind < 10 && model.size() > 3) {
        const auto gone = pick();
        must(pool.md->remove(ThinId::checked(gone->first)));
        model.erase(gone);
    } else if (kind < 25) {
        auto& [id, mappings] = *pick();
        const std::uint64_t begin = random.below(dense);
        const std::uint64_t end = begin + 1 + random.below(random.one_in(4) ? dense : 20);
        VirtualBlock at(begin);
        while (at < VirtualBlock(end))
            at =
                must(pool.md->unmap(pool.volume(id), at, VirtualBlock(end), 1 + random.below(300)));
        mappings.erase(mappings.lower_bound(begin), mappings.lower_bound(end));
    } else {
        auto& [id, mappings] = *pick();
        std::uint64_t at = random.below(dense);
        const std::uint64_t run = random.one_in(3) ? 1 + random.below(400) : 1;
        for (std::uint64_t i = 0; i < run; ++i, ++at) {
            auto block = pool.md->reserve();
            if (!block) return;  // full until the next commit
            if (auto r = pool.md->insert(pool.volume(id), VirtualBlock(at), *block); !r) {
                REQUIRE(r.error().code == Errc::out_of_space);
                pool.md->unreserve(*block);
                return;
            }
            mappings[at] = block->n;
        }
    }
}

}  // namespace

TEST_CASE("H8: random changes leave exactly what was asked for, and a clean recount at each commit",
          "[S7t]") {
    for (const std::uint64_t seed : test_seeds(12)) {
        CAPTURE(seed);
        Random random(seed);
        Pool pool(2048 + random.below(4096), 4000 + random.below(60000));
        const std::uint64_t dense = 50 + random.below(20000);
        Model model;
        for (int i = 0; i < 1200; ++i) {
            step(pool, model, random, dense);
            if (random.one_in(12)) {
                commit(*pool.md, pool.device);
                require_clean(pool.device);
            }
            if (random.one_in(100)) pool.reopen();
        }
        pool.reopen();
        pool.require_equal(model);
        require_clean(pool.device);
        REQUIRE(thin_check(pool.device.bytes()).empty());
        while (!model.empty()) {
            must(pool.md->remove(ThinId::checked(model.begin()->first)));
            model.erase(model.begin());
        }
        commit(*pool.md, pool.device);
        require_clean(pool.device);
        CHECK(pool.md->data().used() == DataBlocks(0));
    }
}

TEST_CASE("H18: trees of several levels stay within the format when they grow and shrink",
          "[S7t]") {
    Pool pool(8192, 400000);
    must(pool.md->create_thin(ThinId::checked(0)));
    Random random(7);
    std::map<std::uint64_t, std::uint64_t> mappings;
    for (int i = 0; i < 90000; ++i) {
        const std::uint64_t at = random.below(1000000000);
        if (mappings.contains(at)) continue;
        const DataBlock block = must(pool.md->reserve());
        must(pool.md->insert(pool.volume(0), VirtualBlock(at), block));
        mappings[at] = block.n;
        if (i % 10000 == 0) commit(*pool.md, pool.device);
    }
    commit(*pool.md, pool.device);
    require_clean(pool.device);
    CHECK(thin_check(pool.device.bytes()).empty());
    for (int i = 0; i < 60; ++i) {
        const std::uint64_t begin = random.below(1000000000);
        const std::uint64_t end = begin + random.below(60000000);
        CHECK(must(pool.md->unmap(pool.volume(0), VirtualBlock(begin), VirtualBlock(end), ~0ULL)) ==
              VirtualBlock(end));
        mappings.erase(mappings.lower_bound(begin), mappings.lower_bound(end));
        commit(*pool.md, pool.device);
    }
    CHECK(thin_check(pool.device.bytes()).empty());
    pool.require_equal({{0, mappings}});
    require_clean(pool.device);
}

TEST_CASE("sequential writes fill leaves almost wholly") {
    Pool pool(4096, 60000);
    must(pool.md->create_thin(ThinId::checked(0)));
    for (std::uint64_t i = 0; i < 50000; ++i)
        must(pool.md->insert(pool.volume(0), VirtualBlock(i), must(pool.md->reserve())));
    commit(*pool.md, pool.device);
    CHECK(4096 - pool.md->metadata().free().n < 50000 / 240 + 20);
}

TEST_CASE("a freed data block is not allocated before the commit that freed it is durable") {
    Pool pool(512, 2);
    must(pool.md->create_thin(ThinId::checked(0)));
    for (std::uint64_t at : {0UL, 1UL})
        must(pool.md->insert(pool.volume(0), VirtualBlock(at), must(pool.md->reserve())));
    commit(*pool.md, pool.device);
    must(pool.md->unmap(pool.volume(0), VirtualBlock(0), VirtualBlock(1), ~0ULL));
    CHECK(pool.md->data().free() == DataBlocks(1));
    CHECK(pool.md->reserve().error().code == Errc::out_of_space);
    const SealedCommit sealed = must(pool.md->seal());
    CHECK(pool.md->reserve().error().code == Errc::out_of_space);  // sealed is not durable
    CHECK(pool.md->settle(sealed) == std::vector<DataBlock>{DataBlock(0)});
    CHECK(pool.md->reserve().error().code == Errc::out_of_space);  // nor is its owner done with it
    pool.md->hand_back(DataBlock(0));
    CHECK(must(pool.md->reserve()) == DataBlock(0));
}

// A transaction that changes each leaf would go through all that is free.
TEST_CASE("a commit's blocks lie beside all that the durable one needs", "[S7t]") {
    Pool pool(256, 60000);
    must(pool.md->create_thin(ThinId::checked(0)));
    std::uint64_t mapped = 0;
    for (;; ++mapped) {
        const DataBlock b = must(pool.md->reserve());
        if (!pool.md->insert(pool.volume(0), VirtualBlock(mapped), b)) break;
        if (mapped % 1000 == 0) commit(*pool.md, pool.device);
    }
    CHECK(mapped > 20000);
    commit(*pool.md, pool.device);
    VirtualBlock next(0);
    while (next < VirtualBlock(mapped)) {
        const VirtualBlock began = next;
        while (next < VirtualBlock(mapped) &&
               pool.md->unmap(pool.volume(0), next, VirtualBlock(next.n + 1), 1))
            next = VirtualBlock(next.n + 100);
        CHECK(next > began);
        commit(*pool.md, pool.device, [&] { require_clean(pool.device); });
    }
}

TEST_CASE("a pinned commit keeps its metadata blocks and data blocks") {
    Pool pool(512, 16);
    must(pool.md->create_thin(ThinId::checked(0)));
    must(pool.md->insert(pool.volume(0), VirtualBlock(0), must(pool.md->reserve())));
    commit(*pool.md, pool.device);
    const auto pinned = pool.md->pin();
    const auto image = pool.device.bytes();
    std::array<std::byte, 4096> superblock = pool.md->durable_superblock();
    for (int i = 0; i < 40; ++i) {
        must(pool.md->unmap(pool.volume(0), VirtualBlock(0), VirtualBlock(1), ~0ULL));
        commit(*pool.md, pool.device);
        if (auto b = pool.md->reserve()) must(pool.md->insert(pool.volume(0), VirtualBlock(0), *b));
        commit(*pool.md, pool.device);
    }
    // The pinned superblock over today's device is the pool of then.
    MemoryQueue then(Sectors(512 * 8));
    then.bytes() = pool.device.bytes();
    std::copy(superblock.begin(), superblock.end(), then.bytes().begin());
    require_clean(then);
    pool.md->unpin(pinned);
    for (DataBlock b : pool.md->settle_after_unpin()) pool.md->hand_back(b);
    CHECK(pool.md->data().allocatable() == pool.md->data().free());
}

TEST_CASE("what does not exist is not found, and what exists is not made again") {
    Pool pool(512, 16);
    must(pool.md->create_thin(ThinId::checked(3)));
    CHECK(pool.md->create_thin(ThinId::checked(3)).error().code == Errc::exists);
    CHECK(pool.md->create_snapshot(ThinId::checked(3), ThinId::checked(3)).error().code ==
          Errc::exists);
    CHECK(pool.md->create_snapshot(ThinId::checked(4), ThinId::checked(5)).error().code ==
          Errc::not_found);
    CHECK(pool.md->remove(ThinId::checked(5)).error().code == Errc::not_found);
    CHECK(pool.md->set_transaction_id({1}, {2}).error().code == Errc::invalid_argument);
    CHECK(ThinId::from(0x1000000).error().code == Errc::invalid_argument);
    must(pool.md->create_thin(ThinId::checked(0xffffff)));
    commit(*pool.md, pool.device);
    require_clean(pool.device);
}

TEST_CASE("a block that two volumes map and that was counted once is noticed as it is freed") {
    Pool pool(160, 100);
    for (const std::uint32_t id : {0U, 1U}) {
        must(pool.md->create_thin(ThinId::checked(id)));
        must(pool.md->insert(pool.volume(id), VirtualBlock(0), must(pool.md->reserve())));
    }
    pool.reopen();
    // Volume 1 maps the block of volume 0.
    const auto value_of = [&](std::uint32_t id) {
        constexpr std::size_t values = sizeof(DiskNodeHeader) + 8 * max_entries_for(8);
        return pool.root_of(id) + values;
    };
    std::memcpy(value_of(1), value_of(0), 8);
    put_checksum_right(pool.root_of(1));
    pool.md = must(ThinMetadata::open(pool.device, {}));

    must(pool.md->unmap(pool.volume(0), VirtualBlock(0), VirtualBlock(1), 1));
    must(pool.md->create_snapshot(ThinId::checked(2), ThinId::checked(1)));
    const auto outcome = pool.md->insert(pool.volume(2), VirtualBlock(1), must(pool.md->reserve()));
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::corrupt);
}

TEST_CASE("a child whose keys are its sibling's is noticed before entries move between the two") {
    Pool pool(512, 4096);
    must(pool.md->create_thin(ThinId::checked(0)));
    for (std::uint64_t at = 0; at < 600; ++at)
        must(pool.md->insert(pool.volume(0), VirtualBlock(at), must(pool.md->reserve())));
    commit(*pool.md, pool.device);
    Node parent(pool.root_of(0));
    REQUIRE(parent.entries() > 1);
    parent.set_key(1, parent.key(1) - 50);
    put_checksum_right(pool.root_of(0));

    pool.md = must(ThinMetadata::open(pool.device, {}));
    CHECK(pool.md->insert(pool.volume(0), VirtualBlock(7), must(pool.md->reserve())).error().code ==
          Errc::corrupt);
    pool.md = must(ThinMetadata::open(pool.device, {}));
    CHECK(pool.md->unmap(pool.volume(0), VirtualBlock(7), VirtualBlock(8), 1).error().code ==
          Errc::corrupt);
}

TEST_CASE("the snapshot clock stops at its end instead of corrupting mappings") {
    Pool pool(512, 16);
    must(pool.md->create_thin(ThinId::checked(0)));
    commit(*pool.md, pool.device);
    auto sb = must(Superblock::decode(BlockBytes(pool.device.bytes().data(), 4096)));
    sb.time = SnapTime::max - 1;
    sb.encode(BlockBytes(pool.device.bytes().data(), 4096));
    pool.md = must(ThinMetadata::open(pool.device, {}));
    must(pool.md->create_snapshot(ThinId::checked(1), ThinId::checked(0)));
    CHECK(pool.md->create_snapshot(ThinId::checked(2), ThinId::checked(0)).error().code ==
          Errc::unsupported);
    must(pool.md->insert(pool.volume(0), VirtualBlock(0), must(pool.md->reserve())));
    commit(*pool.md, pool.device);
    require_clean(pool.device);
}

TEST_CASE("data and metadata devices grow in use") {
    Pool pool(128, 100);
    must(pool.md->create_thin(ThinId::checked(0)));
    std::uint64_t at = 0;
    const auto fill = [&] {
        for (;; ++at) {
            auto b = pool.md->reserve();
            if (!b) return b.error();
            if (auto r = pool.md->insert(pool.volume(0), VirtualBlock(at * 1000), *b); !r) {
                pool.md->unreserve(*b);
                return r.error();
            }
            if (at % 50 == 0) commit(*pool.md, pool.device);
        }
    };
    CHECK(fill().text.find("no free data block") != std::string::npos);
    must(pool.md->grow_data(DataBlocks(60000)));
    commit(*pool.md, pool.device);
    CHECK(fill().text.find("metadata is full") != std::string::npos);
    const auto too_far = pool.md->grow_data(DataBlocks(10'000'000));  // has more bitmaps than room
    REQUIRE_FALSE(too_far.has_value());
    CHECK(too_far.error().code == Errc::out_of_space);
    CHECK(too_far.error().text.find("extend the metadata first") != std::string::npos);
    CHECK(pool.md->data().size() == DataBlocks(60000));
    for (std::uint64_t size : {129UL, 300UL, 16320UL, 16321UL, 40000UL}) {
        pool.device.grow(Sectors(size * 8));
        must(pool.md->grow_metadata(MetadataBlocks(size)));
        commit(*pool.md, pool.device);
        require_clean(pool.device);
        CHECK(thin_check(pool.device.bytes()).empty());
    }
    CHECK(fill().text.find("no free data block") != std::string::npos);
    commit(*pool.md, pool.device);
    CHECK(pool.md->data().used() == DataBlocks(60000));
    require_clean(pool.device);
}

TEST_CASE("of many volumes only those are forgotten that nobody uses and nobody changed") {
    constexpr std::uint32_t many = 1100;
    Pool pool(4096, 100);
    for (std::uint32_t id = 0; id < many; ++id) {
        must(pool.md->create_thin(ThinId::checked(id)));
        if (id % 100 == 99) commit(*pool.md, pool.device);
    }
    for (std::uint32_t id = 0; id < many; ++id) pool.volume(id);
    ThinDevice& used = pool.volume(7);
    ++used.opened;
    ThinDevice& changed = pool.volume(8);
    must(pool.md->insert(changed, VirtualBlock(3), must(pool.md->reserve())));
    pool.md->trim();
    CHECK(&pool.volume(7) == &used);
    CHECK(&pool.volume(8) == &changed);
    for (std::uint32_t id = 0; id < many; ++id)
        REQUIRE(pool.volume(id).details.mapped_blocks == (id == 8 ? 1 : 0));
    --used.opened;
    pool.reopen();
    CHECK(pool.volume(8).details.mapped_blocks == 1);
    require_clean(pool.device);
}

TEST_CASE("metadata that is full still lets volumes be removed and blocks unmapped") {
    Pool pool(128, 16000);
    must(pool.md->create_thin(ThinId::checked(0)));
    Error full(Errc::io_error, "");
    for (std::uint64_t at = 0; full.code != Errc::out_of_space; ++at) {
        const DataBlock b = must(pool.md->reserve());
        if (auto r = pool.md->insert(pool.volume(0), VirtualBlock(at * 100), b); !r) {
            pool.md->unreserve(b);
            full = r.error();
        }
        if (at % 20 == 0) commit(*pool.md, pool.device);
    }
    CHECK(full.text.find("extend the pool's metadata") != std::string::npos);
    CHECK(pool.md->create_thin(ThinId::checked(1)).error().code == Errc::out_of_space);
    commit(*pool.md, pool.device);
    VirtualBlock next(0);
    while (next < VirtualBlock(1000000)) {
        next = must(pool.md->unmap(pool.volume(0), next, VirtualBlock(1000000), 50));
        commit(*pool.md, pool.device);
        require_clean(pool.device);
    }
    must(pool.md->remove(ThinId::checked(0)));
    commit(*pool.md, pool.device);
    require_clean(pool.device);
    CHECK(pool.md->data().used() == DataBlocks(0));
}

}  // namespace thinvol
