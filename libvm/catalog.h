// Catalog: the names and layout of volume groups, pools and volumes, in one SQLite file.
//
// Units       extents of a group; sectors; bytes of volumes
// Invariants  (1) it is the authority for names and layout; the pool's metadata are for data
//             (2) triggers write each change of a group's rows to vg_log too, for pv_log.h
//             (3) ids are never reused; a thin id of a pool is given once
//             (4) a `pending` row belongs to its pool's recorded operation, and is not shown
// Errors      as Database's; unsupported when a newer program wrote the catalog
// Threads     one connection, one thread at a time
// Source      LVM2's metadata areas, in tables
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/units.h"
#include "engine/pool_features.h"
#include "libvm/environment.h"
#include "libvm/sqlite.h"

namespace thinvol {

struct GroupRow {
    std::int64_t id = 0;
    std::string uuid;
    std::string name;
    Sectors extent_size{};
    std::int64_t created = 0;  // seconds since 1970
};

enum class IoMode { buffered, direct };

struct PvRow {
    std::int64_t id = 0;
    std::int64_t vg_id = 0;
    std::string uuid;
    std::string path;
    Sectors size{};
    Sectors data_start{};
    Extents extents{};
    IoMode io_mode = IoMode::buffered;
    bool keeps_log = false, allocatable = true;
    std::int64_t created = 0;
};

enum class LvKind { pool, thin, spare };
struct LvRow {
    std::int64_t id = 0;
    std::int64_t vg_id = 0;
    std::string uuid;
    std::string name;
    LvKind kind = LvKind::thin;
    bool read_only = false;
    bool pending = false;
    std::int64_t created = 0;
};

// Who may open a pool instead of us.
enum class LentTo { nobody, kernel };

struct PoolRow {
    LvRow lv;
    Sectors chunk_size{};
    TransactionId transaction_id{};
    std::uint32_t next_thin_id = 0;
    bool zero = true;
    Discards discards = Discards::passdown;
    bool error_when_full = false;
    std::int64_t no_space_timeout = 60;  // seconds; 0: for ever
    LentTo lent_to = LentTo::nobody;
};

enum class Merging { no, yes, keeping };  // into its origin, once neither is in use: merges.h
struct ThinRow {
    LvRow lv;
    std::int64_t pool_id = 0;
    ThinId thin_id{};
    Bytes size{};
    std::int64_t origin_id = 0;  // 0: none, or gone
    bool skip_activation = false;
    Merging merging = Merging::no;
    std::string external_origin{};  // external_origin.h; empty: none
};

enum class SegmentRole { data, metadata, spare, log };
struct SegmentRow {
    std::int64_t id = 0;
    std::int64_t vg_id = 0;
    std::int64_t lv_id = 0;  // of a log, 0
    SegmentRole role = SegmentRole::data;
    Extents start{};  // within the volume, in extents
    Extents length{};
    std::int64_t pv_id = 0;
    Extent pv_start{};
    bool pending = false;
};

// The operation on a pool that was begun and not finished.
struct PendingRow {
    std::int64_t pool_id = 0;
    std::string request;  // its UUID
    TransactionId from{};
    TransactionId to{};
    std::string operation;  // JSON, see pool_operations.h
    std::string answer;     // JSON: what the request is answered once it is done
};

class Catalog {
public:
    // Opens the environment's catalog, making it and its directories when missing.
    static Result<Catalog> open(const Environment& environment);
    // For reports and completion: without making anything. Nothing if there is no catalog yet.
    static Result<std::optional<Catalog>> open_existing(const Environment& environment);

    Result<Transaction> begin() { return Transaction::begin(db_); }
    // A transaction that only reads: all its queries see one state.
    Result<> begin_reading() { return db_.execute("BEGIN"); }
    Result<> end_reading() { return db_.execute("COMMIT"); }
    const std::string& environment_uuid() const { return environment_uuid_; }
    Database& database() { return db_; }  // for concepts with a header of their own (tags.h)

    // --- reading. `find` is an error where nothing has that name; `lookup` is not.
    Result<std::vector<GroupRow>> groups();
    Result<GroupRow> find_group(std::string_view name);
    Result<GroupRow> group(std::int64_t id);
    Result<std::vector<PvRow>> pvs(std::optional<std::int64_t> vg_id);
    Result<std::optional<PvRow>> lookup_pv(std::string_view uuid);
    Result<std::optional<LvRow>> lookup_lv(std::int64_t vg_id, std::string_view name);
    Result<LvRow> find_lv(const GroupRow& group, std::string_view name);
    Result<PoolRow> pool(std::int64_t lv_id);
    Result<std::optional<PoolRow>> lookup_pool(std::string_view uuid);
    Result<ThinRow> thin(std::int64_t lv_id);
    Result<std::vector<PoolRow>> pools(std::int64_t vg_id);
    // Pools half made, or with an operation half done.
    Result<std::vector<PoolRow>> unfinished_pools(std::int64_t vg_id);
    Result<std::vector<ThinRow>> thins(std::int64_t vg_id);
    Result<std::vector<ThinRow>> thins_of_pool(std::int64_t pool_id, bool with_pending = false);
    Result<std::optional<LvRow>> spare(std::int64_t vg_id);
    Result<std::vector<SegmentRow>> segments(std::int64_t vg_id);
    Result<std::vector<SegmentRow>> segments_of(std::int64_t lv_id, SegmentRole role,
                                                bool with_pending);
    Result<std::optional<PendingRow>> pending(std::int64_t pool_id);
    Result<std::optional<std::string>> answer(std::string_view request);

    // --- changing; inside a Transaction
    Result<std::int64_t> add_group(const GroupRow& row);
    Result<std::int64_t> add_pv(const PvRow& row);
    Result<std::int64_t> add_pool(const PoolRow& row);
    Result<std::int64_t> add_thin(const ThinRow& row);
    Result<std::int64_t> add_spare(const LvRow& row);
    Result<std::int64_t> add_segment(const SegmentRow& row);
    Result<> remove_group(std::int64_t id);
    Result<> remove_pv(std::int64_t id);
    Result<> set_keeps_log(std::int64_t pv_id);
    Result<> remove_lv(std::int64_t id);
    Result<> remove_segment(std::int64_t id);
    Result<> rename_lv(std::int64_t id, std::string_view name);
    Result<> rename_group(std::int64_t id, std::string_view name);
    Result<> set_read_only(std::int64_t lv_id, bool read_only);
    Result<> set_skip_activation(std::int64_t lv_id, bool skip);
    // zero, discards, error_when_full, no_space_timeout.
    Result<> set_pool_settings(const PoolRow& row);
    Result<> set_thin_size(std::int64_t id, Bytes size);
    Result<> set_next_thin_id(std::int64_t pool_id, std::uint32_t next);
    Result<> set_transaction_id(std::int64_t pool_id, TransactionId id);
    Result<> set_lent_to(std::int64_t pool_id, LentTo to);
    Result<> confirm_lv(std::int64_t id);  // no longer pending
    Result<> confirm_segments(std::int64_t lv_id);
    Result<> remove_pending_segments(std::int64_t lv_id);
    Result<> set_pending(const PendingRow& row);
    Result<> clear_pending(std::int64_t pool_id);
    Result<> remember_answer(std::string_view request, std::string_view answer);
    // Whether a new volume of the group may have that name: invalid_argument, exists.
    Result<> check_new_name(const GroupRow& group, std::string_view name);
    // The "lvolN" of the group behind its highest.
    Result<std::string> automatic_name(std::int64_t vg_id);

    // --- the change log (2)
    struct Change {
        std::int64_t seq;
        std::string json;
    };
    Result<std::int64_t> last_change(std::int64_t vg_id);
    // Drops all but the newest changes; for the transactions that add some.
    Result<> prune_log(std::int64_t vg_id);
    // Changes after `seq`, or nothing if some of them were dropped: then a checkpoint is due.
    Result<std::optional<std::vector<Change>>> changes_after(std::int64_t vg_id, std::int64_t seq);
    // Every row of the group, as the changes that would make them.
    Result<std::vector<Change>> all_rows(std::int64_t vg_id);

private:
    explicit Catalog(Database db) : db_(std::move(db)) {}
    Result<> prepare(bool may_create);
    Database db_;
    std::string environment_uuid_;
};

}  // namespace thinvol
