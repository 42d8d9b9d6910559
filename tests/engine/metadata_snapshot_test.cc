// Goal: a metadata snapshot is read as the device it is a copy of, and as nothing else.
// Method: a pool over devices in memory whose snapshot is compared with the blocks below; held
// roots that are none.
#include "engine/metadata_snapshot.h"

#include <cstring>

#include "tests/support/pool_fixture.h"

namespace thinvol {
namespace {

struct Held : PoolFixture {
    Held() {
        start(IoKind::write, 0);
        must(operation(ReserveMetadataSnapshot{}));
        must(pool->settle());
    }
    MetadataBlock held_root() { return must(Superblock::read(md)).held_root; }
    std::byte* block_at(MetadataBlock at) {
        return md.bytes().data() + at.n * metadata_block_bytes;
    }
};

Errc code_of_open(BlockQueue& device) {
    auto opened = MetadataSnapshotQueue::open(device);
    return opened ? Errc{} : opened.error().code;
}

}  // namespace

TEST_CASE("a held root that is not there, or no copy of a superblock, is refused") {
    PoolFixture none;
    must(none.pool->settle());
    CHECK(code_of_open(none.md) == Errc::not_found);

    for (const bool moved : {false, true}) {
        CAPTURE(moved);
        Held f;
        DiskSuperblock disk;
        std::byte* held = f.block_at(f.held_root());
        std::memcpy(&disk, held, sizeof disk);
        if (moved) disk.blocknr.set(f.held_root().n + 1);
        else disk.csum.set(disk.csum.get() ^ 1);
        std::memcpy(held, &disk, sizeof disk);
        if (moved) {
            disk.csum.set(
                checksum_of(BlockKind::superblock, ConstBlockBytes(held, metadata_block_bytes)));
            std::memcpy(held, &disk, sizeof disk);
        }
        const auto refused = MetadataSnapshotQueue::open(f.md);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == Errc::corrupt);
        CHECK(refused.error().text ==
              fmt::format("metadata block {}: this is no metadata snapshot", f.held_root()));
    }
}

TEST_CASE("a metadata snapshot reads as the device does, but for its superblock") {
    Held f;
    const auto snapshot = must(MetadataSnapshotQueue::open(f.md));
    CHECK(snapshot->size() == f.md.size());
    CHECK(must(Superblock::read(*snapshot)).mapping_root ==
          must(Superblock::read(f.md)).mapping_root);
    std::array<std::byte, metadata_block_bytes> super{};
    must(read_now(*snapshot, Sector(0), super));
    std::vector<std::byte> expected = f.md.bytes();
    std::copy(super.begin(), super.end(), expected.begin());
    // Parts that end before, on and behind the superblock's end.
    for (const std::uint64_t at : {0U, 3U, 7U, 8U, 9U}) {
        for (const std::size_t first : {1U, 5U, 8U, 11U}) {
            CAPTURE(at, first);
            std::vector<std::byte> bytes(20 * 512);
            const std::array<iovec, 2> parts{iovec{bytes.data(), first * 512},
                                             iovec{bytes.data() + first * 512, (20 - first) * 512}};
            Request read;
            read.at = Sector(at);
            read.length = Sectors(20);
            read.data = parts;
            REQUIRE(snapshot->submit(read));
            must(std::move(read.outcome));
            CHECK(std::equal(bytes.begin(), bytes.end(),
                             expected.begin() + static_cast<std::ptrdiff_t>(at * 512)));
        }
    }
}

TEST_CASE("a metadata snapshot is not written, and not read past its end") {
    Held f;
    const auto before = f.md.bytes();
    const auto snapshot = must(MetadataSnapshotQueue::open(f.md));
    std::vector<std::byte> bytes(metadata_block_bytes);
    CHECK(code_of(write_now(*snapshot, Sector(0), bytes)) == Errc::read_only);
    CHECK(code_of(write_now(*snapshot, Sector(16), bytes)) == Errc::read_only);
    CHECK(code_of(flush_now(*snapshot)) == Errc::read_only);
    CHECK(f.md.bytes() == before);
    std::vector<std::byte> all(before.size() + 512);
    CHECK(code_of(read_now(*snapshot, Sector(0), all)) == Errc::invalid_argument);
    CHECK(code_of(read_now(*snapshot, Sector(8), all)) == Errc::invalid_argument);
}

}  // namespace thinvol
