// Goal: what we write and read is the kernel's format, byte for byte where it leaves no choice.
// Method: the test vectors that a Linux kernel wrote, and the check values of the checksum.
#include "engine/format.h"

#include <algorithm>

#include "engine/metadata_walk.h"
#include "engine/xml_writer.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/vectors.h"

namespace thinvol {

TEST_CASE("H26: the checksum register has the known values") {
    const std::string digits = "123456789";
    CHECK(crc32c_register(~0U, std::as_bytes(std::span(digits))) == 0x1cf96d7c);
    const std::vector<std::byte> zeros(4092);
    CHECK(crc32c_register(~0U, zeros) == 0x58cda791);
    std::array<std::byte, 4096> block{};
    CHECK(checksum_of(BlockKind::superblock, block) == 0x58cfd397);
    CHECK(checksum_of(BlockKind::mapping_node, block) == 0x58cc7e82);
    CHECK(checksum_of(BlockKind::bitmap, block) == 0x58ce0b1a);
    CHECK(checksum_of(BlockKind::metadata_index, block) == 0x58cfd54f);
}

TEST_CASE("the checksum of any length and content is that of the plain algorithm") {
    std::vector<std::byte> bytes(9000);
    std::uint32_t x = 1;
    for (auto& b : bytes) b = static_cast<std::byte>((x = x * 1664525 + 1013904223) >> 24);
    for (std::size_t n : {0UL, 1UL, 7UL, 8UL, 4079UL, 4080UL, 4081UL, 4092UL, 8999UL}) {
        std::uint32_t plain = ~0U;
        for (std::size_t i = 0; i < n; ++i) {
            plain ^= static_cast<std::uint32_t>(bytes[i]);
            for (int bit = 0; bit < 8; ++bit)
                plain = (plain & 1) != 0 ? (plain >> 1) ^ 0x82f63b78U : plain >> 1;
        }
        CHECK(crc32c_register(~0U, std::span(bytes).first(n)) == plain);
    }
}

TEST_CASE("a new pool's metadata is the kernel's byte for byte") {
    MemoryQueue device(Sectors(512 * 8));
    auto md = must(ThinMetadata::format(device, Sectors(128), DataBlocks(0), {}));
    commit(*md, device);
    const auto expected = vector_image(kernel_v1);
    for (std::size_t block = 0; block < 512; ++block) {
        CAPTURE(block);
        REQUIRE(std::equal(expected.begin() + static_cast<std::ptrdiff_t>(block * 4096),
                           expected.begin() + static_cast<std::ptrdiff_t>(block * 4096 + 4096),
                           device.bytes().begin() + static_cast<std::ptrdiff_t>(block * 4096)));
    }
}

TEST_CASE("a pool that the kernel wrote reads as it was written") {
    MemoryQueue device(Sectors(512 * 8));
    device.bytes() = vector_image(kernel_v2);
    require_clean(device);
    auto md = must(ThinMetadata::open(device, {}));
    CHECK(md->superblock().transaction_id == TransactionId{1});
    CHECK(md->superblock().time == 1);
    CHECK(md->data().used() == DataBlocks(6));
    CHECK(md->metadata().free() == MetadataBlocks(512 - 12));

    struct Row {
        std::uint32_t id;
        std::uint64_t at, block;
        bool shared;
    };
    for (const Row& row :
         {Row{0, 0, 0, true}, Row{0, 1, 5, false}, Row{0, 2, 2, true}, Row{1, 0, 3, false},
          Row{1, 5, 4, false}, Row{2, 0, 0, true}, Row{2, 1, 1, true}, Row{2, 2, 2, true}}) {
        CAPTURE(row.id, row.at);
        const ThinDevice* volume = must(md->device(ThinId::checked(row.id)));
        const auto found = must(md->lookup(*volume, VirtualBlock(row.at)));
        REQUIRE(found);
        CHECK(found->block == DataBlock(row.block));
        CHECK(found->shared == row.shared);
    }
    const ThinDevice* volume = must(md->device(ThinId::checked(1)));
    CHECK(!must(md->lookup(*volume, VirtualBlock(1))));
    CHECK(volume->details.mapped_blocks == 2);
    CHECK(must(md->highest_mapped(*volume)) == VirtualBlock(5));
}

TEST_CASE("the history of the kernel's vector leads to the same counts") {
    MemoryQueue device(Sectors(512 * 8));
    auto md = must(ThinMetadata::format(device, Sectors(128), DataBlocks(256), {}));
    const auto id = [](std::uint32_t n) { return ThinId::checked(n); };
    const auto write = [&](std::uint32_t volume, std::uint64_t at) {
        must(md->insert(*must(md->device(id(volume))), VirtualBlock(at), must(md->reserve())));
    };
    const auto expect = [&](std::uint32_t time, std::uint64_t data, std::uint64_t metadata) {
        commit(*md, device);
        require_clean(device);
        CHECK(thin_check(device.bytes()).empty());
        CHECK(md->superblock().time == time);
        CHECK(md->data().used() == DataBlocks(data));
        CHECK(512 - md->metadata().free().n == metadata);
    };
    expect(0, 0, 9);
    must(md->create_thin(id(0)));
    expect(0, 0, 10);
    must(md->create_thin(id(1)));
    expect(0, 0, 11);
    for (std::uint64_t at : {0UL, 1UL, 2UL}) write(0, at);
    for (std::uint64_t at : {0UL, 5UL}) write(1, at);
    expect(0, 5, 11);
    must(md->create_snapshot(id(2), id(0)));
    expect(1, 5, 11);
    write(0, 1);
    expect(1, 6, 12);
    must(md->set_transaction_id({0}, {1}));
    expect(1, 6, 12);

    // The same mappings as the kernel's: dumps equal.
    const std::string ours = thin_dump(device.bytes());
    CHECK(ours == thin_dump(vector_image(kernel_v2)));

    write(2, 2);
    expect(1, 7, 12);
    must(md->create_thin(id(16777215)));
    expect(1, 7, 13);
    must(md->remove(id(1)));
    expect(1, 5, 12);
}

TEST_CASE("our dump is thin_dump's") {
    MemoryQueue device(Sectors(512 * 8));
    device.bytes() = vector_image(kernel_v2);
    std::string xml;
    XmlWriter writer([&](std::string_view text) -> Result<> {
        xml += text;
        return {};
    });
    must(walk_metadata(device, {}, writer));
    CHECK(xml == thin_dump(device.bytes()));
}

}  // namespace thinvol
