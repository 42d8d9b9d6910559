// report_rows: what the rows of reports are made of, collected from the catalog, the servers and
// the pools' metadata.
//
// Units       bytes, extents of the group
// Invariants  (1) rows show one state of the catalog; what servers say is asked afterwards
//             (2) what is asked for by name is read by name: volumes of the group that nobody asked
//                 for are not
//             (3) looking something up takes constant time: reports are linear in their rows
// Errors      not_found: a group or a volume that does not exist
// Threads     one
// Source      none
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "libvm/config.h"
#include "libvm/group_settings.h"
#include "libvm/names.h"
#include "libvm/pool_request.h"
#include "libvm/report_fields.h"
#include "libvm/session.h"

namespace thinvol {

template <class T>
using ById = std::unordered_map<std::int64_t, T>;
using Ids = std::unordered_set<std::int64_t>;

struct GroupView {
    GroupRow group;
    GroupSettings settings;
    std::vector<PvRow> pvs;
    std::vector<SegmentRow> segments;
    std::vector<PoolRow> pools;
    // All, or those asked for and their relatives.
    std::vector<ThinRow> thins;
    std::optional<LvRow> spare;
    std::vector<LvRow> kept{};  // kept_metadata.h
    std::int64_t last_change = 0;

    ById<const PvRow*> pv_of;
    ById<const PoolRow*> pool_of;
    ById<const ThinRow*> thin_of;
    ById<Extents> used_on;  // a physical volume
    Extents extents{};
    Extents used{};
    ById<std::uint64_t> volumes_in;  // a pool
    ById<std::vector<const ThinRow*>> snapshots_of;
    std::vector<std::string> tags;
    ById<std::vector<std::string>> lv_tags;
    ById<std::vector<std::string>> pv_tags;
    // Of volumes that are not as usual.
    Ids not_autoactivated;
    Ids merged_into;
    ById<std::vector<Assignment>> stored_settings;  // by volume; 0: the group's
    std::optional<Config> config;                   // what holds where none is stored
    ById<PoolAnswer> served;                        // pool -> what its server says
    ById<const ActiveVolume*> active;
    ById<Bytes> exclusive;       // volume -> what its removal would free
    ById<Bytes> freed_together;  // pool -> what removal of all its rows would free
};

// A row of any report; what its kind does not have is null.
struct ReportRow {
    const GroupView* in = nullptr;
    const PvRow* pv = nullptr;
    const LvRow* lv = nullptr;
    const PoolRow* pool = nullptr;  // of a pool or its hidden parts
    const ThinRow* thin = nullptr;
    const SegmentRow* segment = nullptr;
    Extents free_at{};  // of a physical volume's segments: where nothing is allocated
    Extents free{};
    SegmentRole part = SegmentRole::data;
    bool hidden = false;
};

using Views = std::vector<std::unique_ptr<GroupView>>;
struct RowsWanted {
    ReportKind kind = ReportKind::volumes;
    unsigned needs = needs_nothing;
    bool hidden = false;
    std::vector<Reference> objects;  // empty: everything
};
// The groups that the rows wanted are of. What is not there goes to `errors`.
Result<Views> collect_views(Catalog& catalog, const RowsWanted& wanted, std::vector<Error>& errors);
// The rows wanted; named volumes that are not there go to `errors`.
std::vector<ReportRow> rows_of(const Views& views, const RowsWanted& wanted,
                               std::vector<Error>& errors);
// Asks the servers of the pools that rows are of. Those that cannot be asked go to `errors`.
void ask_servers(const Environment& environment, const std::vector<ReportRow>& rows,
                 const Views& views, std::vector<Error>& errors);
// Reads what the groups' settings come on top of.
void read_config(const Environment& environment, const Views& views, std::vector<Error>& errors);
// Reads the metadata of the pools that rows are of, for `needs_exclusive` and `needs_selected`.
void count_exclusive(const Environment& environment, const std::vector<ReportRow>& rows,
                     const Views& views, unsigned needs, std::vector<Error>& errors);

}  // namespace thinvol
