// Goal: the catalog keeps what it was given, refuses what contradicts itself, and its change log
// can always make its rows anew.
// Method: catalogs in a temporary directory, closed and opened again; the log is replayed and
// compared with the rows after random changes.
#include "libvm/catalog.h"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "libvm/catalog_schema.h"
#include "libvm/uuid.h"
#include "tests/support/metadata_fixture.h"
#include "tests/support/seed.h"

namespace thinvol {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Home {
    TemporaryDirectory dir;
    Environment environment;

    Home() { environment.state_dir = dir.path() / "state"; }
    Catalog open() { return must(Catalog::open(environment)); }
    Database database() { return must(Database::open(environment.catalog_path(), {})); }
    Error refusal() {
        const auto outcome = Catalog::open(environment);
        REQUIRE_FALSE(outcome.has_value());
        return outcome.error();
    }
    // The catalog's bytes, with nothing left in the WAL.
    std::string contents() {
        Database db = database();
        must(db.execute("PRAGMA wal_checkpoint(TRUNCATE)"));
        std::ifstream in(environment.catalog_path(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void replace(const std::string& bytes) {
        for (const char* suffix : {"-wal", "-shm"})
            std::filesystem::remove(environment.catalog_path().string() + suffix);
        write_file(environment.catalog_path(), std::as_bytes(std::span(bytes)));
    }
};

LvRow lv(std::int64_t vg_id, const std::string& name, LvKind kind) {
    LvRow row;
    row.vg_id = vg_id;
    row.uuid = new_uuid();
    row.name = name;
    row.kind = kind;
    row.created = 1700000000;
    return row;
}

// A group with a physical volume, a pool and a thin volume.
struct Filled : Home {
    Catalog catalog = open();
    std::int64_t vg = 0, pv = 0, pool = 0, thin = 0;

    Filled() {
        auto transaction = must(catalog.begin());
        vg = must(catalog.add_group({0, new_uuid(), "vg0", Sectors(8192), 1700000000}));
        PvRow row;
        row.vg_id = vg;
        row.uuid = new_uuid();
        row.path = "/pv0";
        row.size = Sectors(1 << 20);
        row.data_start = Sectors(2048);
        row.extents = Extents(127);
        row.io_mode = IoMode::direct;
        row.created = 1700000001;
        pv = must(catalog.add_pv(row));
        pool = add_pool("pool0");
        thin = add_thin("thin0", 0);
        must(std::move(transaction).commit());
    }
    std::int64_t add_pool(const std::string& name) {
        PoolRow row;
        row.lv = lv(vg, name, LvKind::pool);
        row.chunk_size = Sectors(128);
        return must(catalog.add_pool(row));
    }
    ThinRow thin_row(const std::string& name, std::uint32_t thin_id) const {
        ThinRow row;
        row.lv = lv(vg, name, LvKind::thin);
        row.pool_id = pool;
        row.thin_id = ThinId::checked(thin_id);
        row.size = Bytes(1 << 30);
        return row;
    }
    std::int64_t add_thin(const std::string& name, std::uint32_t thin_id) {
        return must(catalog.add_thin(thin_row(name, thin_id)));
    }
    SegmentRow segment(std::uint64_t start, std::uint64_t length) const {
        SegmentRow row;
        row.vg_id = vg;
        row.lv_id = pool;
        row.length = Extents(length);
        row.pv_id = pv;
        row.pv_start = Extent(start);
        return row;
    }
    template <class Outcome>
    void require_exists(const Outcome& outcome) {
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == Errc::exists);
    }
};

using Rows = std::map<std::pair<std::string, std::int64_t>, nlohmann::json>;
void replay(Rows& rows, const std::vector<Catalog::Change>& changes) {
    for (const auto& change : changes) {
        const auto j = nlohmann::json::parse(change.json);
        const auto table = j.at("t").get<std::string>();
        if (j.contains("d")) rows.erase({table, j.at("d").get<std::int64_t>()});
        else rows[{table, j.at("r").at("id").get<std::int64_t>()}] = j.at("r");
    }
}
Rows all_rows(Catalog& catalog, std::int64_t vg) {
    Rows rows;
    replay(rows, must(catalog.all_rows(vg)));
    return rows;
}

}  // namespace

// --- opening -------------------------------------------------------------------------------------

TEST_CASE("opening makes a catalog that only its user may look into") {
    Home home;
    CHECK_FALSE(must(Catalog::open_existing(home.environment)).has_value());
    CHECK_FALSE(std::filesystem::exists(home.environment.state_dir));
    Catalog catalog = home.open();
    CHECK(must(catalog.groups()).empty());
    CHECK(must(catalog.pvs(std::nullopt)).empty());
    CHECK(uuid_bytes(catalog.environment_uuid()).has_value());
    struct stat st{};
    REQUIRE(::stat(home.environment.state_dir.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0700);
    Database db = home.database();
    CHECK(must(db.number("PRAGMA user_version")) == catalog_version);
}

TEST_CASE("two environments are never the same one, and one stays itself") {
    Home a, b;
    const std::string uuid = a.open().environment_uuid();
    CHECK(a.open().environment_uuid() == uuid);
    CHECK(must(Catalog::open_existing(a.environment)).value().environment_uuid() == uuid);
    CHECK(b.open().environment_uuid() != uuid);
}

namespace {

struct OneOfEach {
    std::int64_t vg = 0, pv = 0, pool = 0, thin = 0, snapshot = 0;
    std::array<std::string, 5> uuids{new_uuid(), new_uuid(), new_uuid(), new_uuid(), new_uuid()};
};

// A group with one of each kind.
OneOfEach fill(Home& home) {
    OneOfEach rows;
    Catalog catalog = home.open();
    auto transaction = must(catalog.begin());
    rows.vg = must(catalog.add_group({0, rows.uuids[0], "vg0", Sectors(8192), 1700000000}));
    rows.pv =
        must(catalog.add_pv({0, rows.vg, rows.uuids[1], "/dev/a \"b\" 'c'", Sectors(1ULL << 40),
                             Sectors(2048), Extents(99), IoMode::direct, true, true, 12}));
    PoolRow p;
    p.lv = {0, rows.vg, rows.uuids[2], "pool0", LvKind::pool, false, false, 13};
    p.chunk_size = Sectors(256);
    p.transaction_id = TransactionId{1ULL << 40};
    p.next_thin_id = ThinId::max;
    p.zero = false;
    p.discards = Discards::ignore;
    rows.pool = must(catalog.add_pool(p));
    ThinRow t;
    t.lv = {0, rows.vg, rows.uuids[3], "thin0", LvKind::thin, true, false, 14};
    t.pool_id = rows.pool;
    t.thin_id = ThinId::checked(ThinId::max);
    t.size = Bytes(1ULL << 60);
    rows.thin = must(catalog.add_thin(t));
    t.lv.uuid = rows.uuids[4];
    t.lv.name = "snap0";
    t.lv.read_only = false;
    t.thin_id = ThinId::checked(5);
    t.origin_id = rows.thin;
    t.skip_activation = true;
    rows.snapshot = must(catalog.add_thin(t));
    must(catalog.add_segment({0, rows.vg, rows.pool, SegmentRole::metadata, Extents(3), Extents(4),
                              rows.pv, Extent(5), false}));
    must(std::move(transaction).commit());
    return rows;
}

}  // namespace

TEST_CASE("rows are there again after reopening, as they were") {
    Home home;
    const auto [vg, pv, pool, thin, snapshot, uuids] = fill(home);
    Catalog catalog = home.open();
    const GroupRow group = must(catalog.find_group("vg0"));
    CHECK(group.id == vg);
    CHECK(group.uuid == uuids[0]);
    CHECK(group.extent_size == Sectors(8192));
    CHECK(group.created == 1700000000);
    CHECK(must(catalog.group(vg)).name == "vg0");

    const PvRow p = must(catalog.lookup_pv(uuids[1])).value();
    CHECK(p.id == pv);
    CHECK(p.path == "/dev/a \"b\" 'c'");
    CHECK(p.size == Sectors(1ULL << 40));
    CHECK(p.data_start == Sectors(2048));
    CHECK(p.extents == Extents(99));
    CHECK(p.io_mode == IoMode::direct);
    CHECK(p.keeps_log);

    const PoolRow q = must(catalog.lookup_pool(uuids[2])).value();
    CHECK(q.lv.id == pool);
    CHECK(q.lv.kind == LvKind::pool);
    CHECK(q.chunk_size == Sectors(256));
    CHECK(q.transaction_id == TransactionId{1ULL << 40});
    CHECK(q.next_thin_id == ThinId::max);
    CHECK_FALSE(q.zero);
    CHECK(q.discards == Discards::ignore);

    const ThinRow t = must(catalog.thin(thin));
    CHECK(t.lv.read_only);
    CHECK(t.pool_id == pool);
    CHECK(t.thin_id == ThinId::checked(ThinId::max));
    CHECK(t.size == Bytes(1ULL << 60));
    CHECK(t.origin_id == 0);
    CHECK_FALSE(t.skip_activation);
    const ThinRow s = must(catalog.thin(snapshot));
    CHECK(s.origin_id == thin);
    CHECK(s.skip_activation);
    CHECK_FALSE(s.lv.read_only);

    const auto segments = must(catalog.segments(vg));
    REQUIRE(segments.size() == 1);
    CHECK(segments[0].lv_id == pool);
    CHECK(segments[0].role == SegmentRole::metadata);
    CHECK(segments[0].start == Extents(3));
    CHECK(segments[0].length == Extents(4));
    CHECK(segments[0].pv_id == pv);
    CHECK(segments[0].pv_start == Extent(5));
}

TEST_CASE("a catalog that a newer program wrote is refused by its version, and left alone") {
    Filled f;
    Database db = f.database();
    must(db.execute("PRAGMA user_version = 4711"));
    CHECK(f.refusal().code == Errc::unsupported);
    CHECK_THAT(f.refusal().text,
               ContainsSubstring("version 4711") && ContainsSubstring("newer Thinvol"));
    CHECK(Catalog::open_existing(f.environment).error().code == Errc::unsupported);
    CHECK(must(db.number("PRAGMA user_version")) == 4711);
    CHECK(must(db.number("SELECT count(*) FROM vg")) == 1);
}

TEST_CASE(
    "a catalog of version 1 is brought up: its pools are lent to nobody, and changes logged") {
    Filled filled;
    {
        Database db = filled.database();
        for (const char* table : {"vg", "pv", "lv", "pool", "thin"}) {
            for (const char* event : {"INSERT", "UPDATE", "DELETE"})
                must(db.execute(fmt::format("DROP TRIGGER log_{}_{}", table, event)));
        }
        must(
            db.execute("DROP TABLE tag; DROP TABLE setting; DROP TABLE job; "
                       "ALTER TABLE vg DROP COLUMN autoactivation; "
                       "ALTER TABLE vg DROP COLUMN exported; "
                       "ALTER TABLE vg DROP COLUMN allocation; "
                       "ALTER TABLE pv DROP COLUMN allocatable; "
                       "ALTER TABLE lv DROP COLUMN autoactivation; "
                       "ALTER TABLE thin DROP COLUMN merging; "
                       "ALTER TABLE thin DROP COLUMN external_origin; "
                       "ALTER TABLE pool DROP COLUMN lent_to; "
                       "ALTER TABLE pool DROP COLUMN error_when_full; "
                       "ALTER TABLE pool DROP COLUMN no_space_timeout; PRAGMA user_version = 1"));
    }
    Catalog catalog = filled.open();
    CHECK(must(catalog.pool(filled.pool)).lent_to == LentTo::nobody);
    must(catalog.set_lent_to(filled.pool, LentTo::kernel));
    CHECK(must(filled.open().pool(filled.pool)).lent_to == LentTo::kernel);
    const auto last = must(catalog.last_change(filled.vg));
    const auto changes = must(catalog.changes_after(filled.vg, last - 1));
    REQUIRE(changes.has_value());
    CHECK(nlohmann::json::parse(changes->back().json).at("r").at("lent_to") == "kernel");
    CHECK(must(filled.database().number("PRAGMA user_version")) == catalog_version);
}

TEST_CASE("a file that is no catalog is corrupt, and left alone") {
    Home home;
    home.open();
    const std::string junk(20000, 'j');
    home.replace(junk);
    CHECK(home.refusal().code == Errc::corrupt);
    CHECK(Catalog::open_existing(home.environment).error().code == Errc::corrupt);
    std::ifstream in(home.environment.catalog_path(), std::ios::binary);
    CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == junk);
}

TEST_CASE("a damaged or truncated catalog is an error, whatever is read first") {
    Filled f;
    for (int i = 1; i < 400; ++i)
        f.add_thin("t" + std::to_string(i), static_cast<std::uint32_t>(i));
    const std::string whole = f.contents();
    REQUIRE(whole.size() > 60000);
    const auto read_everything = [&]() -> Result<> {
        Catalog catalog = TRY(Catalog::open(f.environment));
        const GroupRow group = TRY(catalog.find_group("vg0"));
        TRY(catalog.pools(group.id));
        TRY(catalog.thins(group.id));
        TRY(catalog.all_rows(group.id));
        TRY(catalog.changes_after(group.id, 1));
        return {};
    };
    f.replace(whole);
    REQUIRE(read_everything().has_value());

    f.replace(whole.substr(0, whole.size() / 2 / 4096 * 4096));
    auto outcome = read_everything();
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::corrupt);

    std::string damaged = whole;
    std::fill(damaged.begin() + 4096, damaged.end(), '\xff');
    f.replace(damaged);
    outcome = read_everything();
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::corrupt);
}

TEST_CASE("a database of something else is not taken for a catalog") {
    Home home;
    home.open();
    home.replace("");
    Database db = home.database();
    must(db.execute("CREATE TABLE vg(x)"));
    const auto outcome = Catalog::open(home.environment);
    REQUIRE_FALSE(outcome.has_value());
    CHECK(must(db.number("SELECT count(*) FROM sqlite_master")) == 1);
}

TEST_CASE("a catalog that lost its environment's id is corrupt") {
    Home home;
    home.open();
    Database db = home.database();
    must(db.execute("DELETE FROM meta"));
    CHECK(home.refusal().code == Errc::corrupt);
    CHECK_THAT(home.refusal().text, ContainsSubstring("environment"));
}

TEST_CASE("a transaction that was not committed leaves neither rows nor changes") {
    Filled f;
    const std::int64_t last = must(f.catalog.last_change(f.vg));
    {
        auto transaction = must(f.catalog.begin());
        f.add_thin("gone", 9);
    }
    CHECK(must(f.catalog.last_change(f.vg)) == last);
    CHECK_FALSE(must(f.catalog.lookup_lv(f.vg, "gone")).has_value());
}

// --- constraints ---------------------------------------------------------------------------------

TEST_CASE("no two groups, physical volumes or volumes have the same name or uuid") {
    Filled f;
    const GroupRow group = must(f.catalog.group(f.vg));
    const PvRow pv = must(f.catalog.pvs(f.vg)).front();
    f.require_exists(f.catalog.add_group({0, new_uuid(), "vg0", Sectors(8), 0}));
    f.require_exists(f.catalog.add_group({0, group.uuid, "vg1", Sectors(8), 0}));
    PvRow twin = pv;
    twin.uuid = new_uuid();
    f.require_exists(f.catalog.add_pv(twin));
    twin.uuid = pv.uuid;
    twin.path = "/pv1";
    f.require_exists(f.catalog.add_pv(twin));
    f.require_exists(f.catalog.add_spare(lv(f.vg, "pool0", LvKind::spare)));
    f.require_exists(f.catalog.rename_lv(f.thin, "pool0"));

    const std::int64_t other = must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0}));
    must(f.catalog.add_spare(lv(other, "pool0", LvKind::spare)));
    f.require_exists(f.catalog.rename_group(other, "vg0"));
    must(f.catalog.rename_group(other, "vg2"));
    CHECK(must(f.catalog.find_group("vg2")).id == other);
}

TEST_CASE("a thin id is given once in a pool") {
    Filled f;
    ThinRow twin = f.thin_row("twin", 0);
    f.require_exists(f.catalog.add_thin(twin));
    twin.pool_id = f.add_pool("pool1");
    twin.lv = lv(f.vg, "elsewhere", LvKind::thin);
    must(f.catalog.add_thin(twin));
}

TEST_CASE("nothing is left without what it stands on") {
    Filled f;
    const auto sum = [&] { return all_rows(f.catalog, f.vg).size(); };
    const std::size_t before = sum();
    const auto refused = [&](auto&& change) {
        auto transaction = must(f.catalog.begin());
        f.require_exists(change());
    };
    refused([&] { return f.catalog.remove_group(f.vg); });
    refused([&] { return f.catalog.remove_lv(f.pool); });
    refused([&] { return f.catalog.add_spare(lv(f.vg + 1, "x", LvKind::spare)); });
    ThinRow lost = f.thin_row("lost", 7);
    lost.pool_id = f.thin;
    refused([&] { return f.catalog.add_thin(lost); });
    SegmentRow segment = f.segment(0, 1);
    segment.pv_id = f.pv + 1;
    refused([&] { return f.catalog.add_segment(segment); });
    refused([&] { return f.catalog.add_segment(f.segment(0, 0)); });
    must(f.catalog.add_segment(f.segment(0, 1)));
    refused([&] { return f.catalog.remove_pv(f.pv); });
    CHECK(sum() == before + 1);
}

TEST_CASE("with a pool go its segments and its pending operation, with an origin only the link") {
    Filled f;
    ThinRow snapshot = f.thin_row("snap", 1);
    snapshot.origin_id = f.thin;
    const std::int64_t snap = must(f.catalog.add_thin(snapshot));
    must(f.catalog.remove_lv(f.thin));
    CHECK(must(f.catalog.thin(snap)).origin_id == 0);
    CHECK(f.catalog.thin(f.thin).error().code == Errc::not_found);
    must(f.catalog.remove_lv(snap));
    must(f.catalog.add_segment(f.segment(0, 4)));
    must(f.catalog.set_pending({f.pool, "r", {1}, {2}, "{}", "{}"}));
    must(f.catalog.remove_lv(f.pool));
    CHECK(must(f.catalog.segments(f.vg)).empty());
    CHECK_FALSE(must(f.catalog.pending(f.pool)).has_value());
    CHECK(f.catalog.pool(f.pool).error().code == Errc::not_found);
}

TEST_CASE("ids are never given again") {
    Filled f;
    std::set<std::int64_t> ids{f.pool, f.thin};
    for (int i = 0; i < 5; ++i) {
        const std::int64_t id = f.add_thin("again", 1);
        CHECK(ids.insert(id).second);
        must(f.catalog.remove_lv(id));
        f.catalog = f.open();
    }
    const std::int64_t vg = must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0}));
    must(f.catalog.remove_group(vg));
    CHECK(must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0})) > vg);
}

// --- what is shown -------------------------------------------------------------------------------

TEST_CASE("what is not there is an error with its name, for who said find") {
    Filled f;
    const GroupRow group = must(f.catalog.group(f.vg));
    const auto no_group = f.catalog.find_group("nope");
    REQUIRE_FALSE(no_group.has_value());
    CHECK(no_group.error().code == Errc::not_found);
    CHECK_THAT(no_group.error().text, ContainsSubstring("\"nope\""));
    const auto no_lv = f.catalog.find_lv(group, "nope");
    REQUIRE_FALSE(no_lv.has_value());
    CHECK(no_lv.error().code == Errc::not_found);
    CHECK_THAT(no_lv.error().text, ContainsSubstring("\"vg0/nope\""));
    CHECK_FALSE(must(f.catalog.lookup_lv(f.vg, "nope")).has_value());
    CHECK_FALSE(must(f.catalog.lookup_pv(new_uuid())).has_value());
    CHECK_FALSE(must(f.catalog.lookup_pool(new_uuid())).has_value());
    CHECK(f.catalog.find_group("VG0").error().code == Errc::not_found);
    CHECK(f.catalog.find_group("vg0' OR '1").error().code == Errc::not_found);
}

TEST_CASE("what is pending is not shown until it is confirmed") {
    Filled f;
    const GroupRow group = must(f.catalog.group(f.vg));
    ThinRow pending = f.thin_row("coming", 1);
    pending.lv.pending = true;
    const std::int64_t id = must(f.catalog.add_thin(pending));
    CHECK_FALSE(f.catalog.find_lv(group, "coming").has_value());
    CHECK(must(f.catalog.thins(f.vg)).size() == 1);
    CHECK(must(f.catalog.thins_of_pool(f.pool)).size() == 1);
    CHECK(must(f.catalog.thins_of_pool(f.pool, true)).size() == 2);
    f.require_exists(f.catalog.add_spare(lv(f.vg, "coming", LvKind::spare)));  // its name is taken
    must(f.catalog.confirm_lv(id));
    CHECK(must(f.catalog.find_lv(group, "coming")).id == id);
    CHECK(must(f.catalog.thins(f.vg)).size() == 2);

    PoolRow half_made;
    half_made.lv = lv(f.vg, "half", LvKind::pool);
    half_made.lv.pending = true;
    const std::int64_t half = must(f.catalog.add_pool(half_made));
    CHECK(must(f.catalog.pools(f.vg)).size() == 1);
    must(f.catalog.set_pending({f.pool, "r", {1}, {2}, "op", "an"}));
    const auto unfinished = must(f.catalog.unfinished_pools(f.vg));
    REQUIRE(unfinished.size() == 2);
    must(f.catalog.confirm_lv(half));
    must(f.catalog.clear_pending(f.pool));
    CHECK(must(f.catalog.unfinished_pools(f.vg)).empty());
    CHECK(must(f.catalog.pools(f.vg)).size() == 2);
}

TEST_CASE("segments that are pending are confirmed or removed, others are left alone") {
    Filled f;
    must(f.catalog.add_segment(f.segment(0, 4)));
    SegmentRow more = f.segment(4, 2);
    more.start = Extents(4);
    more.pending = true;
    must(f.catalog.add_segment(more));
    const auto count = [&](bool with_pending) {
        return must(f.catalog.segments_of(f.pool, SegmentRole::data, with_pending)).size();
    };
    CHECK(count(false) == 1);
    CHECK(count(true) == 2);
    CHECK(must(f.catalog.segments(f.vg)).size() == 2);  // its extents are taken
    must(f.catalog.remove_pending_segments(f.pool));
    CHECK(count(true) == 1);
    must(f.catalog.add_segment(more));
    must(f.catalog.confirm_segments(f.pool));
    CHECK(count(false) == 2);
    must(f.catalog.remove_pending_segments(f.pool));
    CHECK(count(false) == 2);
    CHECK(must(f.catalog.segments_of(f.pool, SegmentRole::metadata, true)).empty());
}

TEST_CASE("the operation recorded for a pool is one, and comes back as it was") {
    Filled f;
    CHECK_FALSE(must(f.catalog.pending(f.pool)).has_value());
    must(f.catalog.set_pending({f.pool, "req", {41}, {42}, R"({"do":1})", R"({"answer":2})"}));
    const PendingRow row = must(f.open().pending(f.pool)).value();
    CHECK(row.pool_id == f.pool);
    CHECK(row.request == "req");
    CHECK(row.from == TransactionId{41});
    CHECK(row.to == TransactionId{42});
    CHECK(row.operation == R"({"do":1})");
    CHECK(row.answer == R"({"answer":2})");
    f.require_exists(f.catalog.set_pending({f.pool, "other", {42}, {43}, "", ""}));
    must(f.catalog.clear_pending(f.pool));
    CHECK_FALSE(must(f.catalog.pending(f.pool)).has_value());
}

TEST_CASE("the first answer to a request is the one that is remembered") {
    Filled f;
    CHECK_FALSE(must(f.catalog.answer("r1")).has_value());
    must(f.catalog.remember_answer("r1", "first"));
    must(f.catalog.remember_answer("r1", "second"));
    CHECK(must(f.open().answer("r1")) == "first");
    for (int i = 0; i < 900; ++i) must(f.catalog.remember_answer("more" + std::to_string(i), "a"));
    CHECK(must(f.catalog.answer("r1")) == "first");
}

TEST_CASE("remembering an answer again forgets no other, whatever else was added") {
    Filled f;
    must(f.catalog.remember_answer("r1", "first"));
    {
        auto transaction = must(f.catalog.begin());
        for (std::uint64_t i = 0; i < 1200; ++i) must(f.catalog.add_segment(f.segment(i, 1)));
        must(std::move(transaction).commit());
    }
    must(f.catalog.remember_answer("r1", "again"));
    CHECK(must(f.catalog.answer("r1")) == "first");
}

TEST_CASE("changed fields are what they were set to, and those of others stay") {
    Filled f;
    const std::int64_t other = f.add_thin("other", 1);
    must(f.catalog.set_read_only(f.thin, true));
    must(f.catalog.set_skip_activation(f.thin, true));
    must(f.catalog.set_thin_size(f.thin, Bytes(77)));
    must(f.catalog.rename_lv(f.thin, "renamed"));
    must(f.catalog.set_next_thin_id(f.pool, 12));
    must(f.catalog.set_transaction_id(f.pool, TransactionId{13}));
    must(f.catalog.set_keeps_log(f.pv));
    const ThinRow t = must(f.catalog.thin(f.thin));
    CHECK(t.lv.read_only);
    CHECK(t.skip_activation);
    CHECK(t.size == Bytes(77));
    CHECK(t.lv.name == "renamed");
    const ThinRow o = must(f.catalog.thin(other));
    CHECK_FALSE(o.lv.read_only);
    CHECK_FALSE(o.skip_activation);
    CHECK(o.size == Bytes(1 << 30));
    CHECK(o.lv.name == "other");
    CHECK(must(f.catalog.pool(f.pool)).next_thin_id == 12);
    CHECK(must(f.catalog.pool(f.pool)).transaction_id == TransactionId{13});
    CHECK(must(f.catalog.pvs(f.vg)).front().keeps_log);
    must(f.catalog.set_read_only(f.thin, false));
    CHECK_FALSE(must(f.catalog.thin(f.thin)).lv.read_only);
}

TEST_CASE("automatic names are free and count up") {
    Filled f;
    CHECK(must(f.catalog.automatic_name(f.vg)) == "lvol0");
    f.add_thin("lvol0", 1);
    CHECK(must(f.catalog.automatic_name(f.vg)) == "lvol1");
    f.add_thin("lvol9", 2);
    f.add_thin("lvolume", 3);
    f.add_thin("xlvol50", 4);
    CHECK(must(f.catalog.automatic_name(f.vg)) == "lvol10");
    const std::int64_t other = must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0}));
    CHECK(must(f.catalog.automatic_name(other)) == "lvol0");
}

TEST_CASE("a volume named like the highest of all automatic ones leaves a free name") {
    for (const char* taken : {"lvol9223372036854775807", "lvol99999999999999999999999"}) {
        CAPTURE(taken);
        Filled f;
        f.add_thin(taken, 1);
        const std::string name = must(f.catalog.automatic_name(f.vg));
        CHECK(name != taken);
        REQUIRE(name.starts_with("lvol"));
        CHECK(name.find_first_not_of("0123456789", 4) == std::string::npos);
    }
}

// --- the change log ------------------------------------------------------------------------------

TEST_CASE("each change of a group's rows is in its log, those of another group are not") {
    Filled f;
    const std::int64_t other = must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0}));
    const std::int64_t last = must(f.catalog.last_change(f.vg));
    const std::int64_t others = must(f.catalog.last_change(other));
    const auto log = [&] { return must(f.catalog.changes_after(f.vg, last)).value(); };
    CHECK(log().empty());

    must(f.catalog.rename_lv(f.thin, "say \"hi\"\n"));
    auto changes = log();
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].seq > last);
    CHECK(changes[0].json.find('\n') == std::string::npos);  // one change a line
    auto j = nlohmann::json::parse(changes[0].json);
    CHECK(j["t"] == "lv");
    CHECK(j["r"]["id"] == f.thin);
    CHECK(j["r"]["name"] == "say \"hi\"\n");
    CHECK(must(f.catalog.last_change(f.vg)) == changes[0].seq);

    must(f.catalog.remove_lv(f.thin));
    std::set<std::string> gone;
    for (const auto& change : log()) {
        j = nlohmann::json::parse(change.json);
        if (j.contains("d") && j["d"] == f.thin) gone.insert(j["t"].get<std::string>());
    }
    CHECK(gone == std::set<std::string>{"lv", "thin"});
    CHECK(must(f.catalog.last_change(other)) == others);
}

TEST_CASE("changes that were dropped are reported as dropped, never skipped") {
    Filled f;
    const std::int64_t first = must(f.catalog.last_change(f.vg));
    CHECK(must(f.catalog.changes_after(f.vg, first)).has_value());
    for (int i = 0; i < 600; ++i) must(f.catalog.set_read_only(f.thin, i % 2 == 0));
    const std::int64_t last = must(f.catalog.last_change(f.vg));
    CHECK(must(f.catalog.changes_after(f.vg, first)).value().size() == 600);
    must(f.catalog.prune_log(f.vg));
    CHECK_FALSE(must(f.catalog.changes_after(f.vg, first)).has_value());
    CHECK_FALSE(must(f.catalog.changes_after(f.vg, 0)).has_value());
    CHECK(must(f.catalog.last_change(f.vg)) == last);
    const auto kept = must(f.catalog.changes_after(f.vg, last - 100)).value();
    REQUIRE(kept.size() == 100);
    CHECK(kept.front().seq == last - 99);
    CHECK(kept.back().seq == last);
    CHECK(must(f.catalog.changes_after(f.vg, last)).value().empty());
}

TEST_CASE("a group that was removed leaves no log, and its number of changes is not begun again") {
    Filled f;
    const std::int64_t vg = must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0}));
    const std::int64_t last = must(f.catalog.last_change(vg));
    CHECK(last > 0);
    must(f.catalog.remove_group(vg));
    CHECK(must(f.catalog.last_change(vg)) == 0);
    CHECK(must(f.catalog.all_rows(vg)).empty());
    const std::int64_t again = must(f.catalog.add_group({0, new_uuid(), "vg1", Sectors(8), 0}));
    CHECK(must(f.catalog.last_change(again)) > last);
}

TEST_CASE("rows of a group, and the log up to any change, make the same rows") {
    for (const std::uint64_t seed : test_seeds(10)) {
        CAPTURE(seed);
        Random random(seed);
        Filled f;
        Rows replayed = all_rows(f.catalog, f.vg);
        CHECK(replayed.size() == 6);  // vg, pv, pool and its lv, thin and its lv
        std::int64_t last = must(f.catalog.last_change(f.vg));
        std::vector<std::int64_t> thins{f.thin};
        std::uint32_t next = 1;
        for (int step = 0; step < 60; ++step) {
            {
                auto transaction = must(f.catalog.begin());
                const std::size_t at = random.below(std::max<std::size_t>(thins.size(), 1));
                switch (thins.empty() ? 0 : random.below(8)) {
                    case 0:
                    case 1: {
                        ThinRow row = f.thin_row("t" + std::to_string(next), next);
                        ++next;
                        row.lv.pending = random.one_in(2);
                        if (!thins.empty() && random.one_in(2)) row.origin_id = thins[at];
                        thins.push_back(must(f.catalog.add_thin(row)));
                        break;
                    }
                    case 2:
                        must(f.catalog.remove_lv(thins[at]));
                        thins.erase(thins.begin() + static_cast<std::ptrdiff_t>(at));
                        break;
                    case 3: must(f.catalog.confirm_lv(thins[at])); break;
                    case 4: {
                        SegmentRow segment = f.segment(next, 1);
                        segment.pending = true;
                        must(f.catalog.add_segment(segment));
                        break;
                    }
                    case 5:
                        if (random.one_in(2)) must(f.catalog.confirm_segments(f.pool));
                        else must(f.catalog.remove_pending_segments(f.pool));
                        break;
                    case 6:
                        if (must(f.catalog.pending(f.pool))) must(f.catalog.clear_pending(f.pool));
                        else must(f.catalog.set_pending({f.pool, "r", {1}, {2}, "o", "a"}));
                        break;
                    default: must(f.catalog.rename_lv(thins[at], "n" + std::to_string(step)));
                }
                if (!random.one_in(5)) must(std::move(transaction).commit());
            }
            thins.clear();
            for (const ThinRow& row : must(f.catalog.thins_of_pool(f.pool, true)))
                thins.push_back(row.lv.id);
            const auto changes = must(f.catalog.changes_after(f.vg, last)).value();
            replay(replayed, changes);
            last = must(f.catalog.last_change(f.vg));
            REQUIRE(replayed == all_rows(f.catalog, f.vg));
        }
    }
}

}  // namespace thinvol
