#include "libvm/served_move.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "engine/base/aligned_buffer.h"
#include "libvm/group_log.h"

namespace thinvol {
namespace {

constexpr Sectors step_length{2048};  // 1 MiB

// Starts a task on the pool's thread, which ends it there.
template <class Task, class Start>
Result<> wait_for(PoolEngine& engine, Task& task, const Start& start) {
    std::promise<void> ended;
    task.owner = &ended;
    task.done = [](Task& t) { static_cast<std::promise<void>*>(t.owner)->set_value(); };
    auto future = ended.get_future();
    engine.call([&](Pool&, PoolDevices& devices) { start(devices); });
    future.wait();
    return std::move(task.outcome);
}

Result<> drain(PoolEngine& engine) {
    LinearQueue::Drain drain;
    return wait_for(engine, drain, [&](PoolDevices& d) { d.moving_in().drain(drain); });
}

Result<> flush(PoolEngine& engine) {
    Request flush;
    flush.op = Op::flush;
    return wait_for(engine, flush, [&](PoolDevices& d) {
        if (d.moving_in().submit(flush)) flush.done(flush);
    });
}

}  // namespace

Result<PoolAnswer> ServedMove::move(const MovePieceRequest& request) {
    {
        const std::scoped_lock turn(turn_);
        if (undecided_) TRY(decide());
    }
    // Not in turn: whoever has it needs his to come to an end.
    auto lock = TRY(lock_piece(session_, group_));
    std::optional<MovePiece> piece;
    {
        const std::scoped_lock turn(turn_);
        if (TRY(session_.catalog.pending(pool_.lv.id)))
            return Error(Errc::busy, fmt::format("{}/{} has an operation half done; tvgck {} "
                                                 "tells more",
                                                 group_.name, pool_.lv.name, group_.name));
        const auto job = TRY(find_move_job(session_, request.job_id));
        if (!job) return PoolAnswer{};
        piece = TRY(reserve_piece(session_, *job, pool_.lv.id));
        if (!piece) return PoolAnswer{};
        Result<> begun;
        engine_.call([&](Pool&, PoolDevices& devices) {
            begun = devices.begin_move(session_, group_, *piece);
        });
        if (!begun) {
            TRY(drop_reservations(session_, group_));
            return std::move(begun).error();
        }
    }
    auto copied = copy(*piece);
    const std::scoped_lock turn(turn_);
    TRY(finish(*piece, std::move(copied), std::move(lock)));
    return PoolAnswer{};
}

// Requests of all others go on: each step holds up those that write what it copies.
Result<> ServedMove::copy(const MovePiece& piece) {
    TRY(drain(engine_));  // what was on its way to the old place alone
    AlignedBuffer buffer(to_bytes(step_length).n);
    const Sectors length = group_.extent_size * piece.target.length.n;
    for (Sectors done(0); done < length;) {
        const Sectors part = std::min(step_length, length - done);
        MovingQueue::Step step{end_of(done), buffer.first(to_bytes(part).n)};
        TRY(wait_for(engine_, step, [&](PoolDevices& d) { d.moving()->copy(step); }));
        done += part;
    }
    return flush(engine_);
}

Result<> ServedMove::finish(const MovePiece& piece, Result<> copied, FileLock lock) {
    if (copied) {
        engine_.call([&](Pool&, PoolDevices& devices) {
            MovingQueue& moving = *devices.moving();
            copied = moving.missed();
            if (copied) moving.settle();  // (2)
        });
    }
    if (!copied) {
        TRY(end(false));
        return copied;
    }
    auto handed = hand_over(session_, group_, piece);
    if (handed) return end(true);
    undecided_.emplace(Undecided{piece, std::move(lock)});
    if (auto decided = decide(); !decided) return decided;
    return handed;
}

Result<> ServedMove::end(bool moved) {
    engine_.call([&](Pool&, PoolDevices& devices) { devices.end_move(moved); });
    TRY(drain(engine_));  // (1)
    engine_.call([](Pool&, PoolDevices& devices) { devices.forget_move(); });
    return drop_reservations(session_, group_);
}

// (3) A transaction that succeeds tells what the one before it came to.
Result<> ServedMove::decide() {
    const SegmentRow& from = undecided_->piece.from;
    bool moved = true;
    {
        auto transaction = TRY(session_.catalog.begin());
        for (const SegmentRow& s : TRY(session_.catalog.segments_of(pool_.lv.id, from.role, false)))
            if (s.id == from.id) moved = false;
        // A change, so that it is written.
        TRY(session_.catalog.database().run("UPDATE segment SET pending = pending WHERE id = ?",
                                            undecided_->piece.target.id));
        TRY(std::move(transaction).commit());
    }
    const Undecided decided = std::move(*undecided_);
    undecided_.reset();
    return end(moved);
}

}  // namespace thinvol
