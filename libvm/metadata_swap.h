// MetadataSwap: new metadata for a pool that nobody has open, made on the group's spare and then
// exchanged for the pool's own.
//
// Units       sectors
// Invariants  (1) the pool's lock and the spare's are held as long as this lives
//             (2) the old metadata are read, never written: after commit() they are the spare,
//                 until it is used again, or kept (kept_metadata.h); before, and after any failure,
//                 nothing has changed
//             (3) what commit() takes agrees with the catalog: transaction id, thin ids, block size
// Errors      busy: the pool is active, or the spare is being used; out_of_space: no spare, and no
//             room for one; corrupt: (3), naming what differs
// Threads     one
// Source      lvconvert(8) --repair
#pragma once

#include "engine/metadata_visitor.h"
#include "libvm/file_lock.h"
#include "libvm/pool_devices.h"

namespace thinvol {

class MetadataSwap {
public:
    // Cleared, for new metadata; or what was kept at the last repair, or is on the spare, is to be
    // taken as it is.
    enum class Spare { cleared, as_it_is };
    enum class Old { to_spare, kept };
    static Result<std::unique_ptr<MetadataSwap>> begin(Session& session, const GroupRow& group,
                                                       const PoolRow& pool,
                                                       Spare spare = Spare::cleared,
                                                       Old old = Old::to_spare);
    BlockQueue& old() { return devices_->metadata(); }
    BlockQueue& fresh() { return *fresh_; }
    // What the catalog knows of the pool: for metadata that lack it.
    PoolOverrides known() const;
    // Where the old metadata are, or will be.
    const std::string& old_name() const { return old_name_; }
    // Takes what was written to fresh(), flushed. Warnings: of the log on physical volumes.
    Result<std::vector<std::string>> commit();

private:
    MetadataSwap(Session& session, const GroupRow& group, const PoolRow& pool, FileLock lock,
                 FileLock spare_lock, std::int64_t spare)
        : session_(session),
          group_(group),
          pool_(pool),
          lock_(std::move(lock)),
          spare_lock_(std::move(spare_lock)),
          spare_(spare) {}
    Result<> check_agreement();
    Result<> exchange();

    Session& session_;
    GroupRow group_;
    PoolRow pool_;
    FileLock lock_;
    FileLock spare_lock_;
    std::int64_t spare_;
    Old keep_ = Old::to_spare;
    std::string old_name_;
    bool has_spare_ = true;  // after commit()
    std::unique_ptr<PoolDevices> devices_;
    std::unique_ptr<LinearQueue> fresh_;
};

}  // namespace thinvol
