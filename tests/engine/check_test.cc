// Goal: the check finds every wrong byte, and puts wrong counts right; nothing reads a damaged
//       device as something else than it was.
// Method: a small pool with two levels of mapping trees, snapshots, counts over 2 and a metadata
//       snapshot's worth of blocks; then each byte of each block in use, changed in turn.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include "engine/bitmap.h"
#include "engine/count_repair.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

constexpr Sectors metadata_size{2048};  // 256 blocks
constexpr DataBlocks data_size{4000};
constexpr std::uint64_t mapped = 600;  // of each volume: three leaves and a root

// Volumes 0 to 3: an origin, and snapshots between which every 50th block was rewritten.
void make_pool(MemoryQueue& device) {
    auto md = must(ThinMetadata::format(device, Sectors(128), data_size, {}));
    const auto write = [&](std::uint64_t from, std::uint64_t step) {
        ThinDevice& origin = *must(md->device(ThinId::checked(0)));
        for (std::uint64_t b = from; b < mapped; b += step)
            must(md->insert(origin, VirtualBlock(b), must(md->reserve())));
    };
    must(md->create_thin(ThinId::checked(0)));
    write(0, 1);
    commit(*md, device);
    for (std::uint64_t s = 1; s <= 3; ++s) {
        must(md->create_snapshot(ThinId::checked(s), ThinId::checked(0)));
        write(s, 50);
        commit(*md, device);
    }
    commit(*md, device);
}

std::vector<std::uint64_t> blocks_in_use(MemoryQueue& device) {
    std::vector<std::uint64_t> blocks;
    must(check_metadata(device));
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    must(read_now(device, Sector(0), bytes));
    const Superblock sb = must(Superblock::decode(bytes));
    BlockCache cache(device, MetadataBlocks(sb.metadata_space_map.blocks), 0);
    const auto map = must(MetadataSpaceMap::load(cache, sb.metadata_space_map));
    for (std::uint64_t b = 0; b < map.size().n; ++b) {
        if (map.count(MetadataBlock(b)) > 0) blocks.push_back(b);
    }
    return blocks;
}

using Mappings = std::vector<std::vector<std::uint64_t>>;  // by volume and virtual block

// Every mapping of every volume, or the first error.
Result<Mappings> read_everything(MemoryQueue& device) {
    auto md = TRY(ThinMetadata::open(device, {}));
    Mappings all(4);
    for (std::uint64_t id = 0; id < 4; ++id) {
        const ThinDevice* volume = TRY(md->device(ThinId::checked(id)));
        for (std::uint64_t b = 0; b < mapped; ++b) {
            const auto found = TRY(md->lookup(*volume, VirtualBlock(b)));
            all[id].push_back(found ? found->block.n : ~0ULL);
        }
    }
    return all;
}

bool names(const std::string& text, std::uint64_t block) {
    if (block == 0) return text.starts_with("superblock: ");
    return text.find(fmt::format("metadata block {}: ", block)) != std::string::npos;
}

void set_count(MemoryQueue& device, bool data, std::uint64_t block, std::uint32_t count) {
    alignas(metadata_block_bytes) std::array<std::byte, metadata_block_bytes> bytes;
    must(read_now(device, Sector(0), bytes));
    const Superblock sb = must(Superblock::decode(bytes));
    std::uint64_t at = 0;
    if (data) {
        must(read_now(device, to_sector(sb.data_space_map.bitmap_root), bytes));
        at = load_le<std::uint64_t>(NodeView(bytes.data()).value(0));
    } else {
        must(read_now(device, to_sector(sb.metadata_space_map.bitmap_root), bytes));
        at = load_le<std::uint64_t>(bytes.data() + 16);
    }
    std::byte* bitmap = device.bytes().data() + at * metadata_block_bytes;
    bitmap_set(bitmap, static_cast<std::uint32_t>(block), count);
    store_le(bitmap, checksum_of(BlockKind::bitmap, ConstBlockBytes(bitmap, metadata_block_bytes)));
}

}  // namespace

// In parts, for as many processors.
TEMPLATE_TEST_CASE_SIG(
    "any byte of any metadata block wrong: an error that names the block, or right data", "",
    ((std::size_t part), part), 0, 1, 2, 3) {
    MemoryQueue device(metadata_size);
    make_pool(device);
    require_clean(device);
    const Mappings right = must(read_everything(device));
    const auto blocks = blocks_in_use(device);
    REQUIRE(blocks.size() > 20);
    for (std::size_t n = part; n < blocks.size(); n += 4) {
        const std::uint64_t b = blocks[n];
        for (std::uint64_t i = 0; i < metadata_block_bytes; ++i) {
            CAPTURE(b, i);
            std::byte& byte = device.bytes()[b * metadata_block_bytes + i];
            const std::byte good = byte;
            byte ^= std::byte(1U << (i % 8));
            const auto report = check_metadata(device);
            REQUIRE(report.has_value());
            REQUIRE_FALSE(report->clean());
            REQUIRE(std::any_of(report->findings.begin(), report->findings.end(),
                                [&](const auto& f) { return names(f.text, b); }));
            const auto read = read_everything(device);
            if (read) REQUIRE(*read == right);
            else REQUIRE(names(read.error().text, b));
            byte = good;
        }
    }
    require_clean(device);
}

TEST_CASE("leaks and counts too low are found and put right, on both maps") {
    MemoryQueue device(metadata_size);
    make_pool(device);
    const Mappings right = must(read_everything(device));
    const auto blocks = blocks_in_use(device);
    set_count(device, false, 250, 1);            // a leak
    set_count(device, false, blocks.back(), 0);  // in use, counted as free
    set_count(device, true, 3999, 2);
    set_count(device, true, right[0][3], 0);  // the newest, in one leaf only
    const CheckReport report = must(check_metadata(device));
    CHECK(report.damages == 0);
    CHECK(report.leaks >= 2);  // and what the indexes say
    CHECK(report.wrong_counts >= 2);
    must(repair_counts(device, report));
    require_clean(device);
    CHECK(thin_check(device.bytes()).empty());
    CHECK(must(read_everything(device)) == right);
}

TEST_CASE("counts are not put right where there is damage besides") {
    MemoryQueue device(metadata_size);
    make_pool(device);
    const std::uint64_t in_use = blocks_in_use(device).back();
    set_count(device, false, 250, 1);
    device.bytes()[in_use * metadata_block_bytes + 100] ^= std::byte(1);
    const auto before = device.bytes();
    const auto repaired = repair_counts(device, must(check_metadata(device)));
    REQUIRE_FALSE(repaired.has_value());
    CHECK(repaired.error().code == Errc::invalid_argument);
    CHECK(device.bytes() == before);
}

TEST_CASE("needs_check is cleared, and nothing else") {
    MemoryQueue device(metadata_size);
    make_pool(device);
    {
        auto md = must(ThinMetadata::open(device, {}));
        md->set_needs_check();
        must(md->create_thin(ThinId::checked(9)));
        commit(*md, device);
    }
    const CheckReport report = must(check_metadata(device));
    REQUIRE(report.superblock.needs_check);
    must(clear_needs_check(device, report));
    CHECK_FALSE(must(check_metadata(device)).superblock.needs_check);
    CHECK(thin_check(device.bytes()).empty());
}

}  // namespace thinvol
