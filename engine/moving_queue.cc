#include "engine/moving_queue.h"

#include <algorithm>

#include "engine/base/zeroes.h"

namespace thinvol {

// A write to both places, or a flush of both.
struct MovingQueue::Pair {
    MovingQueue* queue = nullptr;
    Request* whole = nullptr;
    Sector at{};
    Sectors length{};
    Request there;  // on the old place
    Request here;   // on the new one
    std::size_t unfinished = 0;

    bool ended() {
        if (--unfinished > 0) return false;
        whole->outcome = std::move(there.outcome);
        if (here.outcome) return true;
        if (queue->settled_ && whole->outcome) whole->outcome = std::move(here.outcome);  // (4)
        else if (!queue->settled_ && queue->missed_) queue->missed_ = std::move(here.outcome);
        return true;
    }
};

MovingQueue::MovingQueue(const LinearSegment& from, const LinearSegment& to)
    : from_(from), to_(to), granule_(std::max(from.device->granule(), to.device->granule())) {
    ASSERT(from.length == to.length);
}

MovingQueue::~MovingQueue() {
    ASSERT(pairs_.empty());
    ASSERT(held_.empty());
    ASSERT(step_ == nullptr);
}

void MovingQueue::settle() {
    ASSERT(step_ == nullptr);
    ASSERT(missed_.has_value());
    settled_ = true;
}

bool MovingQueue::overlaps_step(Sector at, Sectors length) const {
    if (step_ == nullptr) return false;
    const Sector end = step_->at + to_sectors(Bytes(step_->buffer.size()));
    return at < end && step_->at < at + length;
}

bool MovingQueue::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome) return true;
    if (request.op == Op::read) {  // (3)
        request.at = from_.at + (request.at - Sector(0));
        return from_.device->submit(request);
    }
    if (request.op != Op::flush && overlaps_step(request.at, request.length)) {
        held_.push_back(&request);
        return false;
    }
    return submit_pair(request);
}

bool MovingQueue::submit_pair(Request& request) {
    auto owned = std::make_unique<Pair>();
    Pair& pair = *owned;
    pair.queue = this;
    pair.whole = &request;
    pair.at = request.at;
    pair.length = request.length;
    const Sectors inside = request.at - Sector(0);
    for (auto [part, place] : {std::pair(&pair.there, &from_), std::pair(&pair.here, &to_)}) {
        part->op = request.op;
        part->fua = request.fua;
        part->length = request.length;
        part->data = request.data;
        if (request.op != Op::flush) part->at = place->at + inside;
        part->owner = &pair;
        part->done = [](Request& r) {
            Pair& p = *static_cast<Pair*>(r.owner);
            if (!p.ended()) return;
            Request& whole = *p.whole;
            std::erase_if(p.queue->pairs_, [&](const auto& q) { return q.get() == &p; });
            whole.done(whole);
        };
    }
    pairs_.push_back(std::move(owned));
    pair.unfinished = 3;  // one held until both are submitted
    if (from_.device->submit(pair.there)) --pair.unfinished;
    // Once the new place has missed a write there is no point in more.
    if ((!missed_ && !settled_) || to_.device->submit(pair.here)) --pair.unfinished;
    if (!pair.ended()) return false;
    std::erase_if(pairs_, [&](const auto& q) { return q.get() == &pair; });
    return true;
}

// --- steps ---------------------------------------------------------------------------------------

void MovingQueue::copy(Step& step) {
    ASSERT(step_ == nullptr);
    ASSERT(!settled_);
    step_ = &step;
    state_ = State::draining;
}

bool MovingQueue::drained() const {  // (1)
    return std::none_of(pairs_.begin(), pairs_.end(), [&](const auto& pair) {
        return pair->there.op != Op::flush && overlaps_step(pair->at, pair->length);
    });
}

void MovingQueue::start_part(Op op) {
    const LinearSegment& place = op == Op::read ? from_ : to_;
    part_data_ = {step_->buffer.data(), step_->buffer.size()};
    part_ = Request{};
    part_.op = op;
    part_.at = place.at + (step_->at - Sector(0));
    part_.length = to_sectors(Bytes(step_->buffer.size()));
    if (op != Op::write_zeroes) part_.data = {&part_data_, 1};
    part_.owner = this;
    part_.done = [](Request& r) {
        auto& self = *static_cast<MovingQueue*>(r.owner);
        self.state_ = self.state_ == State::reading ? State::copied : State::written;
    };
    state_ = op == Op::read ? State::reading : State::writing;
    if (place.device->submit(part_)) part_.done(part_);
}

void MovingQueue::advance() {
    if (state_ == State::draining && drained()) start_part(Op::read);
    if (state_ == State::copied && part_.outcome) {
        start_part(all_zero(step_->buffer) ? Op::write_zeroes : Op::write);
    } else if (state_ == State::copied) {
        state_ = State::written;
    }
    if (state_ == State::written) end_step();
}

void MovingQueue::end_step() {
    Step& step = *std::exchange(step_, nullptr);
    state_ = State::idle;
    step.outcome = std::move(part_.outcome);
    if (step.outcome && !missed_) step.outcome = missed_.error();
    for (Request* request : std::exchange(held_, {})) {
        if (submit_pair(*request)) request->done(*request);
    }
    step.done(step);
}

void MovingQueue::poll(bool wait) {
    from_.device->poll(false);
    to_.device->poll(false);
    const State before = state_;
    advance();
    if (!wait || state_ != before) return;
    (from_.device->in_flight() > 0 ? from_ : to_).device->poll(true);
    advance();
}

std::size_t MovingQueue::in_flight() const {
    return from_.device->in_flight() + to_.device->in_flight() + held_.size() +
           (step_ != nullptr ? 1 : 0);
}

}  // namespace thinvol
