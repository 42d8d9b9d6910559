// sqlite: owners for SQLite's handles, with its errors as ours.
//
// Units       none
// Invariants  (1) a Transaction that was not committed is rolled back by its destructor
//             (2) values are bound, never pasted into SQL
// Errors      io_error, corrupt, out_of_space, busy (nobody let go within the time limit), exists
//             (a constraint)
// Threads     one connection, one thread at a time
// Source      sqlite.org, C interface
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "engine/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace thinvol {

class Statement {
public:
    // Binds in order, from 1.
    Statement& bind(std::int64_t value);
    Statement& bind(std::string_view value);
    Statement& bind(std::nullptr_t);
    Statement& bind(std::optional<std::int64_t> value) {
        return value ? bind(*value) : bind(nullptr);
    }

    Result<bool> step();  // true: a row
    std::int64_t integer(int column) const;
    std::string text(int column) const;
    std::string_view view(int column) const;  // until the next step
    bool is_null(int column) const;
    void reset();

private:
    friend class Database;
    struct Finalize {
        void operator()(sqlite3_stmt* s) const;
    };
    Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
    sqlite3* db_;
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    int next_ = 1;
};

class Database {
public:
    struct Options {
        bool create = false;
        bool read_only = false;
        std::string vfs{};
    };
    static Result<Database> open(const std::string& path, const Options& options);

    Result<> execute(const std::string& sql);  // no values in it
    Result<Statement> prepare(std::string_view sql);
    // Prepares, binds, runs to the end.
    template <class... Values>
    Result<> run(std::string_view sql, const Values&... values) {
        Statement statement = TRY(prepare(sql));
        (statement.bind(values), ...);
        while (TRY(statement.step())) {}
        return {};
    }
    // The first column of the first row.
    template <class... Values>
    Result<std::optional<std::int64_t>> number(std::string_view sql, const Values&... values) {
        Statement statement = TRY(prepare(sql));
        (statement.bind(values), ...);
        if (!TRY(statement.step()) || statement.is_null(0)) return std::optional<std::int64_t>();
        return std::optional(statement.integer(0));
    }
    std::int64_t last_id() const;
    sqlite3* handle() const { return db_.get(); }

private:
    struct Close {
        void operator()(sqlite3* db) const;
    };
    Database() = default;
    std::unique_ptr<sqlite3, Close> db_;
};

class Transaction {
public:
    // BEGIN IMMEDIATE: from here on nobody else writes.
    static Result<Transaction> begin(Database& db);
    Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    // Durable on success. Spent either way.
    Result<> commit() &&;

private:
    explicit Transaction(Database& db) : db_(&db) {}
    Database* db_;
};

}  // namespace thinvol
