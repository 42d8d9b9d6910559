// PoolOwner: carries out requests on a pool, catalog and all, as whoever holds the pool's lock.
//
// A change of both catalog and pool takes three steps. (1) One catalog transaction records the
// operation and the pool's next transaction id. (2) The pool does it and moves its id, in one
// commit. (3) One catalog transaction finishes it; the group's log follows. After a crash the next
// owner sees how far it came: the record is gone: all of it; the pool has the new id: step 3 is
// missing; the pool has the old id: step 2 is asked again, for it is all or nothing. Anything else
// is an error that names both ids: a guess could lose a volume.
//
// Units       bytes of volumes, extents of the group
// Invariants  (1) no catalog transaction is open while the pool works
//             (2) a request that was carried out once is answered from the catalog when it comes
//                 again
// Errors      not_found, exists, busy (a client has the volume open), out_of_space, corrupt (ids
//             disagree), ...
// Threads     one request at a time
// Source      LVM2's thin pool messages; ARCHITECTURE.md
#pragma once

#include "libvm/pool_engine.h"
#include "libvm/pool_operations.h"
#include "libvm/pool_request.h"

namespace thinvol {

// Volumes that clients can reach; a server has them, a short-lived command does not.
class Exports {
public:
    virtual ~Exports() = default;
    // As its settings say; there already: with what they say now.
    virtual Result<> add(const ThinRow& volume) = 0;
    virtual Result<> remove(std::int64_t lv_id) = 0;  // busy while clients are connected
    virtual bool has(std::int64_t lv_id) = 0;
    virtual Result<> check_unused(std::int64_t lv_id) = 0;
    // Its name or size changed; what cannot follow while it is in use, in words.
    virtual std::vector<std::string> update(const ThinRow& volume) = 0;
    virtual Result<> check_resize(std::int64_t lv_id) = 0;
    // They may have changed.
    virtual Result<> apply_settings(const ThinRow& volume) = 0;
    virtual std::vector<ActiveVolume> list() = 0;
};

class PoolOwner {
public:
    PoolOwner(Session& session, PoolEngine& engine, const PoolRow& pool, Exports* exports)
        : session_(session), engine_(engine), pool_id_(pool.lv.id), exports_(exports) {}

    Result<PoolAnswer> execute(const PoolRequest& request);

    // As a StatusRequest is answered; touches no catalog, and waits for no other request.
    PoolAnswer status();

    // Ends an operation that was interrupted; part of LocalPool::open().
    Result<> recover();

private:
    Result<PoolAnswer> perform(const std::string& id, const MakeVolumesRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const RemoveVolumesRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const ResizeVolumeRequest& request);
    Result<> check_before(const PoolRow& pool, SegmentRole role, Extents before);
    Result<PoolAnswer> perform(const std::string& id, const ExtendPoolRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const MergeRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const ActivateRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const DeactivateRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const StatusRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const RefreshRequest& request);
    // A connection's own business (control_server.h).
    Result<PoolAnswer> perform(const std::string& id, const WaitEventsRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const PinRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const ReadMetadataRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const MovePieceRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const OpenVolumeRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const VolumeIoRequest& request);
    Result<PoolAnswer> perform(const std::string& id, const RestartRequest& request);

    // Step 1 ends with begin(), which commits the transaction that the rows were written in.
    Result<PendingRow> begin(Transaction transaction, const PoolRow& pool, const std::string& id,
                             const RecordedOperation& operation, const PoolAnswer& answer = {});
    // Steps 2 and 3. `before` is what else must succeed first; if it does not, the operation is
    // taken back.
    Result<PoolAnswer> carry_out(const PendingRow& pending, const RecordedOperation& operation,
                                 const std::function<Result<>()>& before = {});
    Result<> finish(const PendingRow& pending, const RecordedOperation& operation);
    Result<> undo(const PendingRow& pending, const RecordedOperation& operation);
    Result<> flush_metadata();
    Error disagreement(TransactionId in_pool, const PoolRow& pool,
                       const std::optional<PendingRow>& pending) const;
    void sync_log(PoolAnswer& answer);
    TransactionId transaction_id();
    Result<GroupRow> group(const PoolRow& pool) { return session_.catalog.group(pool.lv.vg_id); }
    bool exported(std::int64_t lv_id) { return exports_ != nullptr && exports_->has(lv_id); }
    Result<> export_as(const ThinRow& volume, const std::string& how, bool keep);
    Result<PoolAnswer> replace(const std::string& id, const ThinRow& snapshot, bool keep);
    // What waited for these volumes to be out of use; the answer names the origins.
    Result<> merge_due(const std::vector<std::int64_t>& lv_ids, PoolAnswer& answer);
    Result<> zero_tail(const PoolRow& pool, const ThinRow& volume);
    Result<> add_segments(const GroupRow& group, const PoolRow& pool, SegmentRole role,
                          Extents extents, const std::vector<std::int64_t>& pv_ids);

    Session& session_;
    PoolEngine& engine_;
    std::int64_t pool_id_;
    Exports* exports_;
};

}  // namespace thinvol
