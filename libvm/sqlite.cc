#include "libvm/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

Error error_of(sqlite3* db, int code) {
    const char* file = db == nullptr ? nullptr : sqlite3_db_filename(db, "main");
    std::string text =
        fmt::format("catalog: {}", db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db));
    const int kind = code & 0xff;
    if (file != nullptr && (kind == SQLITE_FULL || kind == SQLITE_READONLY ||
                            kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN))
        text += fmt::format(" ({})", file);
    switch (kind) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return {Errc::busy, text};
        case SQLITE_FULL: return {Errc::out_of_space, text};
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return {Errc::corrupt, text};
        case SQLITE_CONSTRAINT: return {Errc::exists, text};
        case SQLITE_READONLY: return {Errc::read_only, text};
        case SQLITE_CANTOPEN: return {Errc::not_found, text};
        default: return {Errc::io_error, text};
    }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Statement& Statement::bind(std::int64_t value) {
    ASSERT(sqlite3_bind_int64(statement_.get(), next_++, value) == SQLITE_OK);
    return *this;
}
Statement& Statement::bind(std::string_view value) {
    ASSERT(sqlite3_bind_text64(statement_.get(), next_++, value.data(), value.size(),
                               SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
    return *this;
}
Statement& Statement::bind(std::nullptr_t) {
    ASSERT(sqlite3_bind_null(statement_.get(), next_++) == SQLITE_OK);
    return *this;
}

Result<bool> Statement::step() {
    const int code = sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return error_of(db_, code);
}

std::int64_t Statement::integer(int column) const {
    return sqlite3_column_int64(statement_.get(), column);
}
std::string_view Statement::view(int column) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
    return text == nullptr ? std::string_view()
                           : std::string_view(text, static_cast<std::size_t>(sqlite3_column_bytes(
                                                        statement_.get(), column)));
}
std::string Statement::text(int column) const { return std::string(view(column)); }
bool Statement::is_null(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
void Statement::reset() {
    sqlite3_reset(statement_.get());
    sqlite3_clear_bindings(statement_.get());
    next_ = 1;
}

Result<Database> Database::open(const std::string& path, const Options& options) {
    Database database;
    const int flags = (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                      (options.create ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX |
                      SQLITE_OPEN_EXRESCODE;
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags,
                                     options.vfs.empty() ? nullptr : options.vfs.c_str());
    database.db_.reset(raw);
    if (code != SQLITE_OK) return error_of(raw, code);
    return database;
}

Result<> Database::execute(const std::string& sql) {
    const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return error_of(db_.get(), code);
    return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                        &statement, nullptr);
    if (code != SQLITE_OK) return error_of(db_.get(), code);
    return Statement(db_.get(), statement);
}

std::int64_t Database::last_id() const { return sqlite3_last_insert_rowid(db_.get()); }

Result<Transaction> Transaction::begin(Database& db) {
    TRY(db.execute("BEGIN IMMEDIATE"));
    return Transaction(db);
}

Transaction::~Transaction() {
    if (db_ != nullptr)
        ignore(db_->execute("ROLLBACK"), "SQLite rolls back by itself where this fails");
}

Result<> Transaction::commit() && {
    Database& db = *std::exchange(db_, nullptr);
    auto outcome = db.execute("COMMIT");
    if (!outcome) ignore(db.execute("ROLLBACK"), "the error of the commit is what matters");
    return outcome;
}

}  // namespace thinvol
