// ServedMove: moves pieces of a pool's extents while the pool is in use.
//
// One piece: reserved in the catalog; written to both places from then on (MovingQueue), copied in
// steps while the pool goes on, both places flushed, handed over in one catalog transaction; then
// requests go to the new place, and once none is under way to the old one, that is free.
//
// Why a kill or a power cut anywhere is safe: the catalog names one place. Until the transaction is
// durable that is the old one, which has had every write all along. Once it is, all that was
// written before the piece began was copied and flushed before the transaction began; and all that
// was acknowledged as durable since was flushed on both places, for a flush reaches both. What was
// not acknowledged may be on one of them only, as on any disk.
//
// Units       extents of the group
// Invariants  (1) nobody else uses the old place while a request to it may be in flight: it stays
//                 reserved, and the group's piece lock held
//             (2) the catalog's transaction begins after both places were flushed, after the last
//                 step, and while every write succeeds in both or not at all
//             (3) a transaction that failed may still be found after a power cut: both places are
//                 written until one that came after it has succeeded
// Errors      as the devices; nothing of the pool is harmed by those of the new place
// Threads     move() from any thread; `turn` is the mutex of the pool's requests, held only for the
//             catalog's transactions and what belongs to them
// Source      pvmove(8)
#pragma once

#include <mutex>

#include "libvm/pool_engine.h"
#include "libvm/pool_request.h"

namespace thinvol {

class ServedMove {
public:
    ServedMove(Session& session, PoolEngine& engine, const GroupRow& group, const PoolRow& pool,
               std::mutex& turn)
        : session_(session), engine_(engine), group_(group), pool_(pool), turn_(turn) {}

    Result<PoolAnswer> move(const MovePieceRequest& request);

private:
    struct Undecided {
        MovePiece piece;
        FileLock lock;
    };
    Result<> copy(const MovePiece& piece);
    Result<> finish(const MovePiece& piece, Result<> copied, FileLock lock);
    Result<> end(bool moved);
    Result<> decide();

    Session& session_;
    PoolEngine& engine_;
    GroupRow group_;
    PoolRow pool_;
    std::mutex& turn_;
    std::optional<Undecided> undecided_;
};

}  // namespace thinvol
