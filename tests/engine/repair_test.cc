// Goal: whatever is damaged, a repair keeps every mapping that can be reached, at least as many as
// thin_repair does, invents none, keeps the transaction id, and leaves sound metadata.
// Method: pools with a history of commits, 15 classes of damage, 20 seeds each; the mappings of
// every commit are known. Judges: a recount, thin_check, thin_repair on the same image.
#include "engine/repair.h"

#include <cstring>
#include <functional>
#include <set>

#include "engine/metadata_builder.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

constexpr std::uint64_t metadata_blocks = 1024;
constexpr std::uint64_t data_blocks = 40000;

// Thin id, virtual block, data block.
using Mappings = std::set<std::array<std::uint64_t, 3>>;

class Collector : public MetadataVisitor {
public:
    Result<> pool(const PoolFacts& f) override {
        facts = f;
        return {};
    }
    Result<> begin_subtree(std::uint64_t) override { return {}; }
    Result<> end_subtree() override { return {}; }
    Result<> begin_volume(const VolumeFacts& f) override {
        id_ = f.id;
        volumes[f.id] = f;
        return {};
    }
    Result<> end_volume() override { return {}; }
    Result<> subtree(std::uint64_t) override { return {}; }
    Result<> end() override { return {}; }
    Result<> runs(std::span<const MappingRun> runs) override {
        for (const MappingRun& run : runs)
            for (std::uint64_t i = 0; i < run.length; ++i)
                mappings.insert({id_, run.origin + i, run.data + i});
        return {};
    }
    PoolFacts facts;
    std::map<std::uint64_t, VolumeFacts> volumes;
    Mappings mappings;

private:
    std::uint64_t id_ = 0;
};

Collector contents_of(BlockQueue& device) {
    Collector collector;
    must(walk_metadata(device, {}, collector));
    return collector;
}

// A pool that has lived: snapshots, overwrites, discards, deleted volumes, commits between.
struct Pool {
    explicit Pool(Random& random)
        : device(Sectors(metadata_blocks * 8)),
          md(must(ThinMetadata::format(device, Sectors(128), DataBlocks(data_blocks), {}))) {
        for (std::uint64_t step = 0; step < 12; ++step) {
            const ThinId id = ThinId::checked(step);
            if (step < 2 || random.one_in(4)) must(md->create_thin(id));
            else must(md->create_snapshot(id, some_volume(random)));
            ids.push_back(id);
            if (step == 7) {
                must(md->remove(ids[3]));
                ids.erase(ids.begin() + 3);
            }
            must(md->set_transaction_id({step}, {step + 1}));
            // So many that trees have two levels, and so few that rewriting leaves most as it was.
            for (int i = 0; i < 12; ++i) write(random, some_volume(random), step < 2 ? 60 : 8);
            commit(*md, device);
            history.push_back(contents_of(device).mappings);
            superblocks.emplace_back(device.bytes().begin(),
                                     device.bytes().begin() + metadata_block_bytes);
        }
        expected = contents_of(device);
    }
    ThinId some_volume(Random& random) { return ids[random.below(ids.size())]; }
    void write(Random& random, ThinId id, std::uint64_t longest) {
        ThinDevice& volume = *must(md->device(id));
        const std::uint64_t at = random.below(1500);
        for (std::uint64_t n = 1 + random.below(longest); n > 0; --n)
            must(md->insert(volume, VirtualBlock(at + n), must(md->reserve())));
    }

    MemoryQueue device;
    std::unique_ptr<ThinMetadata> md;
    std::vector<ThinId> ids;
    std::vector<Mappings> history;
    std::vector<std::vector<std::byte>> superblocks;
    Collector expected;
};

// What is where in the undamaged image.
struct Places {
    explicit Places(MemoryQueue& device) {
        const BlockBytes first(device.bytes().data(), metadata_block_bytes);
        superblock = must(Superblock::decode(first));
        const MetadataContents contents = must(read_contents(device));
        std::set<std::uint64_t> seen;
        for (const WalkedVolume& volume : contents.volumes) {
            const NodeView root(device.bytes().data() + volume.root.n * metadata_block_bytes);
            if (root.is_leaf()) continue;
            roots.push_back(volume.root);
            for (std::uint32_t i = 0; i < root.entries(); ++i)
                if (seen.insert(root.child(i).n).second) leaves.push_back(root.child(i));
            last.insert(root.child(root.entries() - 1).n);
        }
        REQUIRE(leaves.size() > 4);
    }
    Superblock superblock;
    std::vector<MetadataBlock> roots;  // of volumes with two levels
    std::vector<MetadataBlock> leaves;
    std::set<std::uint64_t> last;  // leaves that end a volume: nothing above bounds their keys
};

struct Damage {
    MemoryQueue& device;
    const Pool& pool;
    Places& places;
    Random& random;

    std::byte* at(MetadataBlock b) { return device.bytes().data() + b.n * metadata_block_bytes; }
    void zero(MetadataBlock b) { std::memset(at(b), 0, metadata_block_bytes); }
    void flip(MetadataBlock b) {
        at(b)[random.below(metadata_block_bytes)] ^= std::byte(1U << random.below(8));
    }
    void garbage(MetadataBlock b) {
        for (std::uint64_t i = 0; i < metadata_block_bytes; ++i)
            at(b)[i] = std::byte(random.below(256));
    }
    MetadataBlock leaf() { return places.leaves[random.below(places.leaves.size())]; }
};

struct Class {
    const char* name;
    bool superblock_lost;
    bool older_allowed;  // what the repair can find may be an earlier commit
    void (*damage)(Damage&);
};

constexpr Class classes[] = {
    {"superblock zeroed", true, false, [](Damage& d) { d.zero(MetadataBlock(0)); }},
    {"superblock with one bit changed", true, false, [](Damage& d) { d.flip(MetadataBlock(0)); }},
    {"superblock overwritten", true, false, [](Damage& d) { d.garbage(MetadataBlock(0)); }},
    {"superblock of an earlier commit", false, true,
     [](Damage& d) {
         const auto& old = d.pool.superblocks[d.random.below(d.pool.superblocks.size() - 1)];
         std::memcpy(d.at(MetadataBlock(0)), old.data(), old.size());
     }},
    {"tree of details lost", false, false,
     [](Damage& d) { d.zero(d.places.superblock.details_root); }},
    {"tree of volumes lost", false, true,
     [](Damage& d) { d.flip(d.places.superblock.mapping_root); }},
    {"both upper trees lost", false, true,
     [](Damage& d) {
         d.zero(d.places.superblock.details_root);
         d.garbage(d.places.superblock.mapping_root);
     }},
    {"leaf with one bit changed", false, false, [](Damage& d) { d.flip(d.leaf()); }},
    {"leaf zeroed", false, false, [](Damage& d) { d.zero(d.leaf()); }},
    {"five leaves lost", false, false,
     [](Damage& d) {
         for (int i = 0; i < 5; ++i) d.garbage(d.leaf());
     }},
    {"root of a volume lost", false, false,
     [](Damage& d) { d.flip(d.places.roots[d.random.below(d.places.roots.size())]); }},
    {"leaf written to the wrong place", false, false,
     [](Damage& d) {
         const MetadataBlock from = d.leaf();
         MetadataBlock to = d.leaf();
         while (to == from) to = d.leaf();
         std::memcpy(d.at(to), d.at(from), metadata_block_bytes);
     }},
    {"leaf of another range in a leaf's place", false, false,
     [](Damage& d) {
         MetadataBlock to = d.leaf();
         while (d.places.last.contains(to.n)) to = d.leaf();
         const NodeView old(d.at(to));
         for (const MetadataBlock from : d.places.leaves) {
             const NodeView other(d.at(from));
             if (other.key(0) <= old.key(old.entries() - 1)) continue;
             std::memcpy(d.at(to), d.at(from), metadata_block_bytes);
             break;
         }
         store_le<std::uint64_t>(d.at(to) + 8, to.n);
         store_le(d.at(to), checksum_of(BlockKind::mapping_node,
                                        ConstBlockBytes(d.at(to), metadata_block_bytes)));
     }},
    {"space maps lost", false, false,
     [](Damage& d) {
         const Superblock& sb = d.places.superblock;
         for (const MetadataBlock b :
              {sb.metadata_space_map.bitmap_root, sb.metadata_space_map.ref_count_root,
               sb.data_space_map.bitmap_root, sb.data_space_map.ref_count_root})
             d.garbage(b);
     }},
    {"superblock and a leaf lost", true, true,
     [](Damage& d) {
         d.zero(d.leaf());
         d.zero(MetadataBlock(0));
     }},
};
static_assert(std::size(classes) == 15);

bool includes(const Mappings& all, const Mappings& some) {
    return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

Collector repaired_by_us(MemoryQueue& damaged, const Class& kind, MemoryQueue& target,
                         RepairAim aim = RepairAim::newest) {
    PoolOverrides known;
    if (kind.superblock_lost) known.data_block_size = Sectors(128);
    const RepairPlan plan = must(plan_repair(damaged, known, {.aim = aim}));
    for (const std::string& note : plan.notes) UNSCOPED_INFO(note);
    MetadataBuilder builder(target, {.overrides = known, .count_mapped = true});
    must(walk_contents(damaged, plan.contents, {.subtrees = true, .judge = plan.survey.get()},
                       builder));
    return contents_of(target);
}

// The generation that prefers a commit which is there in whole; the build folder keeps it.
const std::string thin_repair_1 = THINVOL_PEERS "/thin_repair";

// The mappings that a thin_repair saves; none if it fails.
Mappings saved_by(const std::string& thin_repair, MemoryQueue& damaged, const Class& kind) {
    const TemporaryDirectory dir;
    const std::string in = (dir.path() / "in").string();
    const std::string out = (dir.path() / "out").string();
    write_file(in, damaged.bytes());
    write_file(out, std::vector<std::byte>(damaged.bytes().size()));
    const std::string known = kind.superblock_lost
                                  ? fmt::format(
                                        " --transaction-id 12 --data-block-size 128"
                                        " --nr-data-blocks {}",
                                        data_blocks)
                                  : "";
    if (run_judge(thin_repair + " -i " + in + " -o " + out + known).status != 0) return {};
    MemoryQueue result(damaged.size());
    std::FILE* file = std::fopen(out.c_str(), "rb");
    REQUIRE(file != nullptr);
    REQUIRE(std::fread(result.bytes().data(), 1, result.bytes().size(), file) ==
            result.bytes().size());
    std::fclose(file);
    return contents_of(result).mappings;
}

}  // namespace

TEST_CASE("what is damaged is repaired as far as it can be reached, and nothing is invented",
          "[S25]") {
    for (const Class& kind : classes) {
        for (const std::uint64_t seed : test_seeds(20)) {
            CAPTURE(kind.name, seed);
            Random random(seed);
            const Pool pool(random);
            MemoryQueue damaged(Sectors(metadata_blocks * 8));
            damaged.bytes() = const_cast<Pool&>(pool).device.bytes();
            Places places(damaged);
            Damage damage{damaged, pool, places, random};
            kind.damage(damage);

            const std::vector<std::byte> before = damaged.bytes();
            MemoryQueue target(Sectors(metadata_blocks * 8));
            const Collector result = repaired_by_us(damaged, kind, target);
            CHECK(damaged.bytes() == before);
            require_clean(target);
            CHECK(thin_check(target.bytes()).empty());

            const bool from_newest = includes(pool.history.back(), result.mappings);
            const bool from_one_commit =
                std::any_of(pool.history.begin(), pool.history.end(),
                            [&](const Mappings& m) { return includes(m, result.mappings); });
            CHECK((from_newest || (kind.older_allowed && from_one_commit)));
            CHECK(result.facts.data_block_size == Sectors(128));
            if (!kind.older_allowed) {
                CHECK(result.facts.transaction_id == pool.expected.facts.transaction_id);
                CHECK(result.facts.time >= pool.expected.facts.time);
            }
            // It believes a leaf that lies where another one was: what that says does not count.
            Mappings saved = saved_by("thin_repair", damaged, kind);
            if (!kind.older_allowed)
                std::erase_if(saved,
                              [&](const auto& m) { return !pool.history.back().contains(m); });
            CHECK(result.mappings.size() >= saved.size());
        }
    }
}

TEST_CASE("where whole mappings are wanted, they are one commit's, and no fewer than thin_repair 1",
          "[S25]") {
    if (!std::filesystem::exists(thin_repair_1))
        FAIL(thin_repair_1 << " is missing: ./run deps test fetches it");
    for (const Class& kind : classes) {
        for (const std::uint64_t seed : test_seeds(20)) {
            CAPTURE(kind.name, seed);
            Random random(seed);
            Pool pool(random);
            Places places(pool.device);
            Damage damage{pool.device, pool, places, random};
            kind.damage(damage);
            MemoryQueue target(Sectors(metadata_blocks * 8));
            const Collector result = repaired_by_us(pool.device, kind, target, RepairAim::whole);
            require_clean(target);
            CHECK(std::any_of(pool.history.begin(), pool.history.end(),
                              [&](const Mappings& m) { return includes(m, result.mappings); }));
            CHECK(result.mappings.size() >= saved_by(thin_repair_1, pool.device, kind).size());
        }
    }
}

TEST_CASE("what is not lost is repaired to what it was") {
    Random random(5);
    Pool pool(random);
    MemoryQueue target(Sectors(metadata_blocks * 8));
    const Collector result = repaired_by_us(pool.device, classes[3], target);
    CHECK(result.mappings == pool.expected.mappings);
    CHECK(result.volumes == pool.expected.volumes);
    CHECK(result.facts == pool.expected.facts);
}

TEST_CASE("details that are forged to be of no volume do not lose the only one, number 0") {
    MemoryQueue device(Sectors(metadata_blocks * 8));
    auto md = must(ThinMetadata::format(device, Sectors(128), DataBlocks(100), {}));
    must(md->create_thin(ThinId::checked(0)));
    must(md->insert(*must(md->device(ThinId::checked(0))), VirtualBlock(7), must(md->reserve())));
    commit(*md, device);
    const auto root = load_le<std::uint64_t>(device.bytes().data() +
                                             offsetof(DiskSuperblock, device_details_root));
    std::byte* const leaf = device.bytes().data() + root * metadata_block_bytes;
    store_le<std::uint32_t>(leaf + offsetof(DiskNodeHeader, nr_entries), 0);
    store_le(leaf,
             checksum_of(BlockKind::mapping_node, ConstBlockBytes(leaf, metadata_block_bytes)));

    RepairPlan plan = must(plan_repair(device, {}));
    MemoryQueue target(device.size());
    MetadataBuilder builder(target, {.count_mapped = true});
    must(walk_contents(device, plan.contents, {.subtrees = true, .judge = plan.survey.get()},
                       builder));
    CHECK(contents_of(target).mappings.size() == 1);
}

TEST_CASE("a device with nothing on it, or with nothing but noise, is refused") {
    MemoryQueue device(Sectors(64 * 8));
    CHECK(!plan_repair(device, {}));
    Random random(1);
    for (std::byte& b : device.bytes()) b = std::byte(random.below(256));
    const auto refused = plan_repair(device, {});
    REQUIRE(!refused);
    CHECK(refused.error().text.find("no tree of volumes is left") != std::string::npos);
}

TEST_CASE("without a superblock the data block size has to be given") {
    Random random(2);
    Pool pool(random);
    std::memset(pool.device.bytes().data(), 0, metadata_block_bytes);
    const auto refused = plan_repair(pool.device, {});
    REQUIRE(!refused);
    CHECK(refused.error().text.find("--data-block-size") != std::string::npos);
    CHECK(plan_repair(pool.device, {.data_block_size = Sectors(128)}));
}

}  // namespace thinvol
