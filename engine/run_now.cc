#include "engine/run_now.h"

namespace thinvol {

Result<> apply_now(Pool& pool, std::vector<PoolOperation> operations, TransactionId from,
                   TransactionId to) {
    ApplyRequest request;
    bool done = false;
    request.operations = std::move(operations);
    request.from = from;
    request.to = to;
    request.owner = &done;
    request.done = [](ApplyRequest& r) { *static_cast<bool*>(r.owner) = true; };
    pool.apply(request);
    pool.run_until([&] { return done; });
    ASSERT(done);
    return std::move(request.outcome);
}

Result<> submit_now(Pool& pool, IoRequest& request) {
    bool done = false;
    request.owner = &done;
    request.done = [](IoRequest& r) { *static_cast<bool*>(r.owner) = true; };
    pool.submit(request);
    pool.run_until([&] { return done; });
    ASSERT(done);
    return std::move(request.outcome);
}

}  // namespace thinvol
