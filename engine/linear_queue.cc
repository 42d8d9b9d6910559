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

    void ended(Request& piece) {
        if (!piece.outcome && whole->outcome) whole->outcome = std::move(piece.outcome);
        --unfinished;
    }
};

LinearQueue::LinearQueue(const std::vector<LinearSegment>& segments) {
    for (const LinearSegment& segment : segments) append(segment);
}

LinearQueue::~LinearQueue() { ASSERT(splits_.empty()); }

void LinearQueue::append(const LinearSegment& segment) {
    ASSERT(segment.length > Sectors(0));
    segments_.push_back({end_of(size_), segment});
    size_ += segment.length;
    granule_ = std::max(granule_, segment.device->granule());
    if (std::find(devices_.begin(), devices_.end(), segment.device) == devices_.end())
        devices_.push_back(segment.device);
}

void LinearQueue::drop_last() {
    ASSERT(!segments_.empty());
    size_ -= segments_.back().segment.length;
    segments_.pop_back();
}

const LinearQueue::Placed& LinearQueue::placed_at(Sector at) const {
    const auto behind = std::upper_bound(segments_.begin(), segments_.end(), at,
                                         [](Sector a, const Placed& p) { return a < p.begin; });
    ASSERT(behind != segments_.begin());
    return *std::prev(behind);
}

bool LinearQueue::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome) return true;
    if (request.op == Op::flush)
        return devices_.size() == 1 ? devices_[0]->submit(request) : submit_flush(request);
    if (request.length == Sectors(0)) return true;
    const Placed& placed = placed_at(request.at);
    const Sectors inside = request.at - placed.begin;
    if (inside + request.length > placed.segment.length) return submit_split(request);
    request.at = placed.segment.at + inside;
    return placed.segment.device->submit(request);
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
    std::erase_if(splits_, [&](const auto& s) { return s.get() == &split; });
}

void LinearQueue::poll(bool wait) {
    const std::size_t before = in_flight();
    for (BlockQueue* device : devices_) device->poll(false);
    if (!wait || in_flight() < before) return;
    const auto busy = std::find_if(devices_.begin(), devices_.end(),
                                   [](BlockQueue* d) { return d->in_flight() > 0; });
    if (busy != devices_.end()) (*busy)->poll(true);
}

std::size_t LinearQueue::in_flight() const {
    std::size_t n = 0;
    for (const BlockQueue* device : devices_) n += device->in_flight();
    return n;
}

}  // namespace thinvol
