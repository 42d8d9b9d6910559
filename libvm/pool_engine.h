// PoolEngine: a pool that is open, here or on the server's thread; and LocalPool, the pool opened
// by this process.
//
// Units       none
// Invariants  whoever has one holds the pool's lock: it alone changes the pool and the catalog's
//             rows of it
// Errors      busy: another process owns the pool; otherwise as Pool
// Threads     call() and apply() from one thread at a time
// Source      none
#pragma once

#include <functional>

#include "engine/pool.h"
#include "engine/run_now.h"
#include "libvm/file_lock.h"
#include "libvm/pool_devices.h"

namespace thinvol {

PoolFeatures features_of(const PoolRow& pool);

class PoolEngine {
public:
    virtual ~PoolEngine() = default;
    // Runs `body` on the pool's thread, between two of its steps, and waits for it.
    virtual void call(const std::function<void(Pool&, PoolDevices&)>& body) = 0;
    // As Pool::apply(); returns when it is durable, refused or lost.
    virtual Result<> apply(std::vector<PoolOperation> operations, TransactionId from,
                           TransactionId to) = 0;
    // Submits one request to an open volume and waits for it.
    virtual Result<> run(IoRequest& request) = 0;
};

class LocalPool : public PoolEngine {
public:
    // Takes the lock, opens the devices and the pool (or formats it, when it was being made), and
    // brings an interrupted operation to its end. busy at once if another process has the lock.
    static Result<std::unique_ptr<LocalPool>> open(Session& session, const GroupRow& group,
                                                   const PoolRow& pool, Ring* ring = nullptr,
                                                   bool serves_clients = false);
    // For a server, which goes on with the block devices that one before it left.
    static Result<std::unique_ptr<LocalPool>> serve(Session& session, const GroupRow& group,
                                                    const PoolRow& pool, Ring* ring);
    // For the successor of a server, whose lock this is.
    static Result<std::unique_ptr<LocalPool>> take_over(Session& session, const GroupRow& group,
                                                        const PoolRow& pool, Ring* ring,
                                                        FileLock lock);
    ~LocalPool() override;

    void call(const std::function<void(Pool&, PoolDevices&)>& body) override {
        body(*pool_, *devices_);
    }
    Result<> apply(std::vector<PoolOperation> operations, TransactionId from,
                   TransactionId to) override {
        return apply_now(*pool_, std::move(operations), from, to);
    }
    Result<> run(IoRequest& request) override { return submit_now(*pool_, request); }

    Pool& pool() { return *pool_; }
    PoolDevices& devices() { return *devices_; }
    const FileLock& lock() const { return lock_; }

private:
    static Result<std::unique_ptr<LocalPool>> open_locked(Session& session, const GroupRow& group,
                                                          const PoolRow& pool, Ring* ring,
                                                          bool serves_clients, FileLock lock);
    explicit LocalPool(FileLock lock) : lock_(std::move(lock)) {}
    FileLock lock_;
    std::unique_ptr<PoolDevices> devices_;
    std::unique_ptr<Pool> pool_;
};

}  // namespace thinvol
