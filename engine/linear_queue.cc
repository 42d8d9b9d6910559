#include "engine/linear_queue.h"

#include <algorithm>

namespace thinvol {

// One request as several: done when the last of them is.
struct LinearQueue::Split {
    LinearQueue* queue = nullptr;
    Request* whole = nullptr;
    struct Piece {
        BlockQueue* device;
        Request request;
        std::vector<iovec> parts;
    };
    std::vector<std::unique_ptr<Piece>> pieces;
    std::size_t unfinished = 0;
    std::uint64_t epoch = 0;

    void ended(Request& piece) {
        if (!piece.outcome && whole->outcome) whole->outcome = std::move(piece.outcome);
        --unfinished;
    }
};

// A request that one device has as it is.
struct LinearQueue::Whole {
    LinearQueue* queue;
    void (*done)(Request&);
    void* owner;
    std::uint64_t epoch;
};

LinearQueue::LinearQueue(const std::vector<LinearSegment>& segments) {
    for (const LinearSegment& segment : segments) append(segment);
}

LinearQueue::~LinearQueue() {
    ASSERT(splits_.empty());
    ASSERT(drains_.empty());
}

void LinearQueue::append(const LinearSegment& segment) {
    ASSERT(segment.length > Sectors(0));
    segments_.push_back({end_of(size_), segment});
    size_ += segment.length;
    granule_ = std::max(granule_, segment.device->granule());
    if (std::find(devices_.begin(), devices_.end(), segment.device) == devices_.end())
        devices_.push_back(segment.device);
}

void LinearQueue::assign(const std::vector<LinearSegment>& segments) {
    ASSERT(in_flight() == 0);
    segments_.clear();
    devices_.clear();
    leaving_.clear();
    size_ = Sectors(0);
    for (const LinearSegment& segment : segments) append(segment);
}

void LinearQueue::drop_last() {
    ASSERT(!segments_.empty());
    size_ -= segments_.back().segment.length;
    segments_.pop_back();
}

std::size_t LinearQueue::index_at(Sector at) const {
    const auto behind = std::upper_bound(segments_.begin(), segments_.end(), at,
                                         [](Sector a, const Placed& p) { return a < p.begin; });
    ASSERT(behind != segments_.begin());
    return static_cast<std::size_t>(behind - segments_.begin()) - 1;
}

// --- replacing -----------------------------------------------------------------------------------

void LinearQueue::cut_at(Sector at) {
    if (at == end_of(size_)) return;
    const std::size_t i = index_at(at);
    const Sectors before = at - segments_[i].begin;
    if (before == Sectors(0)) return;
    Placed behind = segments_[i];
    behind.begin = at;
    behind.segment.at = behind.segment.at + before;
    behind.segment.length = behind.segment.length - before;
    segments_[i].segment.length = before;
    segments_.insert(segments_.begin() + static_cast<std::ptrdiff_t>(i) + 1, behind);
}

// Neighbours on one device, one behind the other there too, are one.
void LinearQueue::join_at(Sector at) {
    if (at == Sector(0) || at == end_of(size_)) return;
    const std::size_t i = index_at(at);
    LinearSegment& before = segments_[i - 1].segment;
    const LinearSegment& behind = segments_[i].segment;
    if (before.device != behind.device || before.at + before.length != behind.at) return;
    before.length += behind.length;
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(i));
}

void LinearQueue::replace(Sector at, const LinearSegment& segment) {
    const Sector end = at + segment.length;
    ASSERT(segment.length > Sectors(0));
    ASSERT(end <= end_of(size_));
    ASSERT(segment.device->granule() <= granule_);
    cut_at(at);
    cut_at(end);
    const auto first = segments_.begin() + static_cast<std::ptrdiff_t>(index_at(at));
    auto last = first;
    while (last != segments_.end() && last->begin < end) ++last;
    *first = {at, segment};
    segments_.erase(first + 1, last);
    join_at(end);
    join_at(at);
    list_devices();
}

std::vector<LinearSegment> LinearQueue::segments() const {
    std::vector<LinearSegment> segments;
    for (const Placed& placed : segments_) segments.push_back(placed.segment);
    return segments;
}

LinearSegment LinearQueue::part_at(Sector at, Sectors most) const {
    const Placed& placed = placed_at(at);
    const Sectors inside = at - placed.begin;
    return {placed.segment.device, placed.segment.at + inside,
            std::min(most, placed.segment.length - inside)};
}

void LinearQueue::drain(Drain& drain) {
    drain.epoch = epochs_.barrier();
    drains_.push_back(&drain);
}

void LinearQueue::list_devices() {
    const auto lists = [](const std::vector<BlockQueue*>& list, const BlockQueue* device) {
        return std::find(list.begin(), list.end(), device) != list.end();
    };
    const auto before = std::exchange(devices_, {});
    for (const Placed& placed : segments_) {
        if (!lists(devices_, placed.segment.device)) devices_.push_back(placed.segment.device);
    }
    for (BlockQueue* device : before) {
        if (!lists(devices_, device) && !lists(leaving_, device)) leaving_.push_back(device);
    }
}

// --- requests ------------------------------------------------------------------------------------

bool LinearQueue::pass_on(BlockQueue& device, Request& request) {
    if (free_wholes_.empty()) {
        wholes_.push_back(std::make_unique<Whole>());
        free_wholes_.push_back(wholes_.back().get());
    }
    Whole& whole = *free_wholes_.back();
    free_wholes_.pop_back();
    whole = {this, request.done, request.owner, epochs_.enter()};
    request.owner = &whole;
    request.done = [](Request& r) {
        const Whole was = *static_cast<Whole*>(r.owner);
        was.queue->free_wholes_.push_back(static_cast<Whole*>(r.owner));
        was.queue->epochs_.leave(was.epoch);
        r.done = was.done;
        r.owner = was.owner;
        r.done(r);
    };
    if (!device.submit(request)) return false;
    free_wholes_.push_back(&whole);
    epochs_.leave(whole.epoch);
    request.done = whole.done;
    request.owner = whole.owner;
    return true;
}

bool LinearQueue::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome) return true;
    if (request.op == Op::flush)
        return devices_.size() == 1 ? pass_on(*devices_[0], request) : submit_flush(request);
    if (request.length == Sectors(0)) return true;
    const Placed& placed = placed_at(request.at);
    const Sectors inside = request.at - placed.begin;
    if (inside + request.length > placed.segment.length) return submit_split(request);
    request.at = placed.segment.at + inside;
    return pass_on(*placed.segment.device, request);
}

// Of one segment: whoever wants to know of the next one asks again.
Sectors LinearQueue::zeroes_at(Sector at, Sectors most) {
    const Placed& placed = placed_at(at);
    const Sectors inside = at - placed.begin;
    return placed.segment.device->zeroes_at(placed.segment.at + inside,
                                            std::min(most, placed.segment.length - inside));
}

bool LinearQueue::submit_split(Request& request) {
    auto split = std::make_unique<Split>();
    split->whole = &request;
    std::size_t part = 0;         // of request.data
    std::uint64_t part_used = 0;  // bytes of it
    for (Sectors done(0); done < request.length;) {
        const Sector at = request.at + done;
        const Placed& placed = placed_at(at);
        const Sectors inside = at - placed.begin;
        const Sectors length = std::min(request.length - done, placed.segment.length - inside);
        auto piece = std::make_unique<Split::Piece>();
        piece->device = placed.segment.device;
        piece->request.op = request.op;
        piece->request.fua = request.fua;
        piece->request.at = placed.segment.at + inside;
        piece->request.length = length;
        for (std::uint64_t left = request.data.empty() ? 0 : to_bytes(length).n; left > 0;) {
            const iovec& from = request.data[part];
            const std::uint64_t n = std::min(left, from.iov_len - part_used);
            piece->parts.push_back({static_cast<std::byte*>(from.iov_base) + part_used, n});
            left -= n;
            part_used += n;
            if (part_used == from.iov_len) ++part, part_used = 0;
        }
        piece->request.data = piece->parts;
        split->pieces.push_back(std::move(piece));
        done += length;
    }
    return launch(std::move(split));
}

bool LinearQueue::submit_flush(Request& request) {
    auto split = std::make_unique<Split>();
    split->whole = &request;
    for (BlockQueue* device : devices_) {
        auto piece = std::make_unique<Split::Piece>();
        piece->device = device;
        piece->request.op = Op::flush;
        split->pieces.push_back(std::move(piece));
    }
    return launch(std::move(split));
}

bool LinearQueue::launch(std::unique_ptr<Split> owned) {
    Split& split = *owned;
    splits_.push_back(std::move(owned));
    split.queue = this;
    split.epoch = epochs_.enter();
    split.unfinished = split.pieces.size() + 1;  // one held until all are submitted
    for (auto& piece : split.pieces) {
        piece->request.owner = &split;
        piece->request.done = [](Request& r) {
            Split& s = *static_cast<Split*>(r.owner);
            s.ended(r);
            if (s.unfinished > 0) return;
            Request& whole = *s.whole;
            s.queue->forget(s);  // and with it r
            whole.done(whole);
        };
        if (piece->device->submit(piece->request)) split.ended(piece->request);
    }
    if (--split.unfinished > 0) return false;
    forget(split);
    return true;
}

void LinearQueue::forget(const Split& split) {
    epochs_.leave(split.epoch);
    std::erase_if(splits_, [&](const auto& s) { return s.get() == &split; });
}

void LinearQueue::end_drains() {
    const auto is_over = [&](const Drain* d) { return epochs_.passed(d->epoch); };
    std::vector<Drain*> ended;
    std::copy_if(drains_.begin(), drains_.end(), std::back_inserter(ended), is_over);
    std::erase_if(drains_, is_over);
    if (!ended.empty() && drains_.empty()) leaving_.clear();
    for (Drain* drain : ended) drain->done(*drain);
}

void LinearQueue::poll(bool wait) {
    const std::size_t before = in_flight();
    for (BlockQueue* device : devices_) device->poll(false);
    for (BlockQueue* device : leaving_) device->poll(false);
    if (!drains_.empty()) end_drains();
    if (!wait || in_flight() < before) return;
    for (const auto* list : {&devices_, &leaving_}) {
        const auto busy = std::find_if(list->begin(), list->end(),
                                       [](BlockQueue* d) { return d->in_flight() > 0; });
        if (busy != list->end()) return (*busy)->poll(true);
    }
}

std::size_t LinearQueue::in_flight() const {
    std::size_t n = 0;
    for (const BlockQueue* device : devices_) n += device->in_flight();
    for (const BlockQueue* device : leaving_) n += device->in_flight();
    return n;
}

}  // namespace thinvol
