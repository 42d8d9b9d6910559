// Goal: a transaction that was not committed leaves nothing, values come back as they went in, and
// each failure of SQLite has the code that callers branch on.
// Method: databases in a temporary directory, with a second connection as the other process.
#include "libvm/sqlite.h"

#include <sqlite3.h>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

struct Fixture {
    TemporaryDirectory dir;
    std::string path = dir.path() / "db";
    Database db = must(Database::open(path, {.create = true}));

    Fixture() {
        must(
            db.execute("PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT "
                       "UNIQUE, n INTEGER CHECK(n > 0))"));
    }
    std::int64_t count() { return must(db.number("SELECT count(*) FROM t")).value(); }
};

}  // namespace

TEST_CASE("a transaction that goes out of scope is rolled back") {
    Fixture f;
    {
        auto transaction = must(Transaction::begin(f.db));
        must(f.db.run("INSERT INTO t(v) VALUES(?)", "gone"));
        CHECK(f.count() == 1);
    }
    CHECK(f.count() == 0);
    must(f.db.run("INSERT INTO t(v) VALUES(?)", "kept"));  // no transaction is open any more
    CHECK(f.count() == 1);
}

TEST_CASE("a transaction that was committed stays, and moving one leaves only one to end") {
    Fixture f;
    auto transaction = must(Transaction::begin(f.db));
    must(f.db.run("INSERT INTO t(v) VALUES(?)", "kept"));
    {
        Transaction moved = std::move(transaction);
        must(std::move(moved).commit());
    }
    Database other = must(Database::open(f.path, {}));
    CHECK(must(other.number("SELECT count(*) FROM t")) == 1);
    must(Transaction::begin(other));
}

TEST_CASE("a commit that fails leaves nothing and no open transaction") {
    Fixture f;
    must(
        f.db.execute("PRAGMA foreign_keys = ON; CREATE TABLE c(t INTEGER REFERENCES t(id) "
                     "DEFERRABLE INITIALLY DEFERRED)"));
    auto transaction = must(Transaction::begin(f.db));
    must(f.db.run("INSERT INTO c(t) VALUES(?)", std::int64_t{77}));
    const auto outcome = std::move(transaction).commit();
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == Errc::exists);
    CHECK(must(f.db.number("SELECT count(*) FROM c")) == 0);
    must(Transaction::begin(f.db));
}

TEST_CASE("a constraint is reported as exists, with SQLite's words") {
    Fixture f;
    must(f.db.run("INSERT INTO t(v) VALUES(?)", "a"));
    const auto twice = f.db.run("INSERT INTO t(v) VALUES(?)", "a");
    REQUIRE_FALSE(twice.has_value());
    CHECK(twice.error().code == Errc::exists);
    CHECK(twice.error().text.find("t.v") != std::string::npos);
    CHECK(f.db.run("INSERT INTO t(v, n) VALUES(?, ?)", "b", std::int64_t{0}).error().code ==
          Errc::exists);
    CHECK(f.count() == 1);
}

TEST_CASE("values are bound as they are, never taken for SQL") {
    Fixture f;
    const std::string quotes = "'); DROP TABLE t; --\"";
    const std::string nul("a\0b", 3);
    for (const std::string& v : {quotes, nul, std::string(), std::string(100000, 'x')})
        must(f.db.run("INSERT INTO t(v) VALUES(?)", v));
    must(f.db.run("INSERT INTO t(v, n) VALUES(?, ?)", nullptr, std::int64_t{1} << 62));
    must(f.db.run("INSERT INTO t(v, n) VALUES(?, ?)", "none", std::optional<std::int64_t>()));
    Statement s = must(f.db.prepare("SELECT v, n FROM t ORDER BY id"));
    for (const std::string& v : {quotes, nul, std::string(), std::string(100000, 'x')}) {
        REQUIRE(must(s.step()));
        CHECK(s.text(0) == v);
        CHECK(s.view(0) == v);
        CHECK(s.is_null(1));
    }
    REQUIRE(must(s.step()));
    CHECK(s.is_null(0));
    CHECK(s.text(0).empty());
    CHECK(s.integer(1) == std::int64_t{1} << 62);
    REQUIRE(must(s.step()));
    CHECK(s.text(0) == "none");
    CHECK(s.is_null(1));
    CHECK_FALSE(must(s.step()));
}

TEST_CASE("a statement that was reset takes new values") {
    Fixture f;
    must(f.db.run("INSERT INTO t(v) VALUES(?)", "a"));
    Statement s = must(f.db.prepare("SELECT count(*) FROM t WHERE v = ? AND ? IS NULL"));
    s.bind("a").bind(nullptr);
    REQUIRE(must(s.step()));
    CHECK(s.integer(0) == 1);
    s.reset();
    s.bind("b").bind(nullptr);
    REQUIRE(must(s.step()));
    CHECK(s.integer(0) == 0);
    s.reset();
    s.bind("a").bind(std::int64_t{3});
    REQUIRE(must(s.step()));
    CHECK(s.integer(0) == 0);
}

TEST_CASE("number() tells no row and NULL from a number") {
    Fixture f;
    CHECK_FALSE(must(f.db.number("SELECT id FROM t")).has_value());
    CHECK_FALSE(must(f.db.number("SELECT max(id) FROM t")).has_value());
    must(f.db.run("INSERT INTO t(id) VALUES(?)", std::int64_t{-5}));
    CHECK(f.db.last_id() == -5);
    CHECK(must(f.db.number("SELECT id FROM t")) == -5);
}

TEST_CASE("each failure has the code that callers branch on") {
    Fixture f;
    CHECK(Database::open((f.dir.path() / "none").string(), {}).error().code == Errc::not_found);
    CHECK(
        Database::open((f.dir.path() / "no" / "folder").string(), {.create = true}).error().code ==
        Errc::not_found);
    CHECK(f.db.execute("no SQL").error().code == Errc::io_error);
    CHECK_FALSE(f.db.prepare("SELECT * FROM nothing").has_value());

    Database reader = must(Database::open(f.path, {.read_only = true}));
    CHECK(reader.execute("INSERT INTO t(v) VALUES('x')").error().code == Errc::read_only);

    Database other = must(Database::open(f.path, {}));
    sqlite3_busy_timeout(other.handle(), 0);
    {
        auto transaction = must(Transaction::begin(f.db));
        CHECK(Transaction::begin(other).error().code == Errc::busy);
        CHECK(must(other.number("SELECT count(*) FROM t")) == 0);  // readers go on
    }
    must(Transaction::begin(other));

    const auto junk = f.dir.path() / "junk";
    write_file(junk, std::vector<std::byte>(8192, std::byte(7)));
    Database bad = must(Database::open(junk, {}));
    CHECK(bad.number("SELECT count(*) FROM sqlite_master").error().code == Errc::corrupt);

    must(f.db.execute("PRAGMA max_page_count = 8"));
    CHECK(f.db.run("INSERT INTO t(v) VALUES(?)", std::string(100000, 'x')).error().code ==
          Errc::out_of_space);
    CHECK(f.count() == 0);
}

}  // namespace thinvol
