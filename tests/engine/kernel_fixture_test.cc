// Goal: a pool that the kernel wrote opens here as the kernel had it, is used, and stays a pool for
// every judge.
// Method: images from tests/fixtures; contents and counts against what the kernel said, then
// changes of each kind, with the recount and thin_check behind each.
#include <cstring>

#include "engine/pool.h"
#include "tests/support/kernel_fixture.h"
#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

constexpr std::uint64_t page = 4096;

// Nobody makes room while a test waits.
PoolOptions failing() {
    PoolOptions options;
    options.features.error_if_no_space = true;
    return options;
}

struct OpenFixture {
    explicit OpenFixture(const std::string& name)
        : fixture(kernel_fixture(name)),
          pool(must(Pool::open(*fixture.metadata, *fixture.data, failing()))) {}

    Result<> run(IoRequest request) {
        bool done = false;
        request.owner = &done;
        request.done = [](IoRequest& r) { *static_cast<bool*>(r.owner) = true; };
        pool->submit(request);
        pool->run_until([&] { return done; });
        REQUIRE(done);
        return std::move(request.outcome);
    }
    Result<> run(std::uint32_t id, IoKind kind, std::uint64_t first, std::uint64_t pages,
                 std::vector<std::byte>& buffer) {
        Volume* volume =
            must(pool->open_volume(ThinId::checked(id), to_bytes(volumes().at(id).size), false));
        buffer.resize(pages * page);
        IoRequest request;
        request.kind = kind;
        request.volume = volume;
        request.offset = ByteOffset(first * page);
        request.length = Bytes(pages * page);
        request.buffer = buffer.data();
        auto outcome = run(request);
        pool->close_volume(*volume);
        return outcome;
    }
    // Writes and remembers what must be read from now on.
    void write(std::uint32_t id, std::uint64_t first, std::uint64_t pages, unsigned byte) {
        std::vector<std::byte> buffer(pages * page, std::byte(byte));
        must(run(id, IoKind::write, first, pages, buffer));
        auto& expected = volumes().at(id).pages;
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(first), pages, std::byte(byte));
    }
    Result<> apply(PoolOperation operation) {
        ApplyRequest request;
        bool done = false;
        request.operations = {operation};
        request.from = pool->status().transaction_id;
        request.to = request.from.next();
        request.owner = &done;
        request.done = [](ApplyRequest& r) { *static_cast<bool*>(r.owner) = true; };
        pool->apply(request);
        pool->run_until([&] { return done; });
        REQUIRE(done);
        return std::move(request.outcome);
    }
    void snapshot(std::uint32_t id, std::uint32_t origin) {
        must(apply(CreateSnapshot{ThinId::checked(id), ThinId::checked(origin)}));
        volumes()[id] = volumes().at(origin);
    }
    void remove(std::uint32_t id) {
        must(apply(RemoveThin{ThinId::checked(id)}));
        volumes().erase(id);
    }
    std::map<std::uint32_t, KernelVolume>& volumes() { return fixture.volumes; }

    void require_contents() {
        REQUIRE(must(pool->volume_ids()).size() == volumes().size());
        for (const auto& [id, expected] : volumes()) {
            CAPTURE(id);
            std::vector<std::byte> bytes;
            must(run(id, IoKind::read, 0, expected.pages.size(), bytes));
            for (std::size_t p = 0; p < expected.pages.size(); ++p) {
                CAPTURE(p);
                const std::vector<std::byte> filled(page, expected.pages[p]);
                REQUIRE(std::memcmp(bytes.data() + p * page, filled.data(), page) == 0);
            }
        }
    }
    void require_sound() {
        require_clean(*fixture.metadata);
        REQUIRE(thin_check(fixture.metadata->bytes()).empty());
    }
    void reopen() {
        must(pool->settle());
        pool.reset();
        require_sound();
        pool = must(Pool::open(*fixture.metadata, *fixture.data, failing()));
    }

    KernelFixture fixture;
    std::unique_ptr<Pool> pool;
};

// What the kernel's status lines say of the pool and of its volumes.
void require_counts(OpenFixture& f) {
    const PoolStatus status = f.pool->status();
    std::istringstream words(f.fixture.status);
    std::string metadata, data;
    std::uint64_t transaction_id = 0;
    words >> transaction_id >> metadata >> data;
    CHECK(status.transaction_id.n == transaction_id);
    CHECK(fmt::format("{}/{}", status.data_used.n, status.data_size.n) == data);
    CHECK(metadata.ends_with(fmt::format("/{}", status.metadata_size.n)));
    CHECK(status.needs_check == f.fixture.status.ends_with("needs_check 128"));
    const std::uint64_t sectors = f.pool->data_block_size().n;
    for (const auto& [id, expected] : f.volumes()) {
        CAPTURE(id);
        const Pool::VolumeUse use = must(f.pool->volume_use(ThinId::checked(id)));
        CHECK(use.mapped * sectors == expected.mapped_sectors);
        const std::string highest =
            use.highest ? std::to_string((use.highest->n + 1) * sectors - 1) : "-";
        CHECK(highest == expected.highest_sector);
    }
}

}  // namespace

TEST_CASE("a pool of the kernel's opens as the kernel had it") {
    for (const char* name : {"several", "deep", "held", "odd", "full", "needs_check"}) {
        CAPTURE(name);
        OpenFixture f(name);
        f.require_sound();
        require_counts(f);
        f.require_contents();
    }
}

TEST_CASE(
    "a pool of the kernel's takes writes, snapshots, discards and removals, and stays sound") {
    for (const char* name : {"several", "deep", "held", "odd"}) {
        CAPTURE(name);
        OpenFixture f(name);
        const auto [first, last] =
            std::pair{f.volumes().begin()->first, f.volumes().rbegin()->first};
        const std::uint64_t pages = f.volumes().at(first).pages.size();
        f.snapshot(4001, first);
        f.write(first, 3, 40, 201);  // breaks sharing
        f.write(last, 0, 1, 202);
        f.write(4001, pages - 1, 1, 203);
        f.snapshot(4002, 4001);
        f.write(4001, 0, 20, 204);
        f.reopen();
        f.require_contents();
        std::vector<std::byte> none;
        const std::uint64_t block = to_bytes(f.pool->data_block_size()).n / page;
        must(f.run(4001, IoKind::discard, 0, block, none));
        std::fill_n(f.volumes().at(4001).pages.begin(), block, std::byte(0));
        f.remove(last);
        f.reopen();
        f.require_contents();
        while (f.volumes().size() > 1) f.remove(f.volumes().rbegin()->first);
        f.reopen();
        f.require_contents();
    }
}

TEST_CASE("a metadata snapshot of the kernel's stays whatever is done to the pool") {
    OpenFixture f("held");
    const auto held = [&] {
        const auto view = must(Superblock::decode(
            ConstBlockBytes(f.fixture.metadata->bytes().data(), metadata_block_bytes)));
        return view.held_root;
    };
    const MetadataBlock at = held();
    REQUIRE(at.n != 0);
    const auto copy = [&] {
        const auto* begin = f.fixture.metadata->bytes().data() + at.n * metadata_block_bytes;
        return std::vector<std::byte>(begin, begin + metadata_block_bytes);
    };
    const auto before = copy();
    f.write(1, 0, 100, 77);
    f.remove(3);
    f.snapshot(9, 1);
    f.write(1, 20, 100, 78);
    f.reopen();
    CHECK(held() == at);
    CHECK(copy() == before);
    f.require_contents();
}

TEST_CASE("a pool that the kernel filled takes writes again when a volume goes") {
    OpenFixture f("full");
    std::vector<std::byte> buffer(page, std::byte(9));
    const std::uint64_t unmapped = 16 * 20;
    auto refused = f.run(0, IoKind::write, unmapped, 1, buffer);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::out_of_space);
    f.write(1, 0, 1, 8);  // mapped and not shared: needs no space
    f.remove(1);
    f.reopen();
    f.write(0, unmapped, 1, 9);
    f.reopen();
    f.require_contents();
}

TEST_CASE("a pool in which the kernel has set needs_check is read, and changed by nobody") {
    OpenFixture f("needs_check");
    const auto before = f.fixture.metadata->bytes();
    CHECK(f.pool->mode() == PoolMode::read_only);
    std::vector<std::byte> buffer(page, std::byte(9));
    CHECK_FALSE(f.run(0, IoKind::write, 200, 1, buffer).has_value());
    CHECK_FALSE(f.apply(CreateThin{ThinId::checked(5)}).has_value());
    f.require_contents();
    f.pool.reset();
    CHECK(f.fixture.metadata->bytes() == before);
    f.require_sound();
}

TEST_CASE("trees of several levels that the kernel built are changed and stay sound") {
    OpenFixture f("many");
    CHECK(must(f.pool->volume_use(ThinId::checked(0))).mapped == 1350);
    CHECK(must(f.pool->volume_use(ThinId::checked(1))).mapped == 1500);
    f.require_sound();
    f.volumes()[0].size = Sectors(8192 * 128);
    f.volumes()[1].size = Sectors(8192 * 128);
    std::vector<std::byte> buffer;
    for (std::uint64_t at = 0; at < 8192; at += 5)
        must(f.run(0, IoKind::write, at * 16, 1, buffer));
    must(f.apply(CreateSnapshot{ThinId::checked(2), ThinId::checked(1)}));
    for (std::uint64_t at = 0; at < 8192; at += 64)
        must(f.run(1, IoKind::discard, at * 16, 16 * 40, buffer));
    f.reopen();
    must(f.apply(RemoveThin{ThinId::checked(1)}));
    CHECK(must(f.pool->volume_use(ThinId::checked(2))).mapped == 1500);
    must(f.apply(RemoveThin{ThinId::checked(0)}));
    f.reopen();
    CHECK(f.pool->status().data_used.n == 1500);
}

}  // namespace thinvol
