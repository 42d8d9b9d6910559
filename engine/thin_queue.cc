#include "engine/thin_queue.h"

#include <algorithm>

namespace thinvol {

bool ThinQueue::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (request.outcome && request.op != Op::read)
        request.outcome = Error(Errc::read_only, "an external origin is only read");
    if (!request.outcome) return true;
    auto read = std::make_unique<Read>();
    read->request = &request;
    read->pieces.resize(request.data.size());
    read->parts = request.data.size();
    std::uint64_t at = to_bytes(request.at).n;
    for (std::size_t i = 0; i < request.data.size(); ++i) {
        IoRequest& piece = read->pieces[i];
        piece.kind = IoKind::read;
        piece.volume = &volume_;
        piece.offset = ByteOffset(at);
        piece.length = Bytes(request.data[i].iov_len);
        piece.buffer = static_cast<std::byte*>(request.data[i].iov_base);
        piece.owner = read.get();
        piece.done = [](IoRequest& done) {
            Read& of = *static_cast<Read*>(done.owner);
            --of.parts;
            if (!done.outcome && of.request->outcome) of.request->outcome = done.outcome;
        };
        at += request.data[i].iov_len;
    }
    reads_.push_back(std::move(read));
    for (IoRequest& piece : reads_.back()->pieces) pool_.submit(piece);
    return false;
}

void ThinQueue::poll(bool wait) {
    const auto answered = [](const auto& read) { return read->parts == 0; };
    const auto any = [&] { return std::any_of(reads_.begin(), reads_.end(), answered); };
    if (wait && !any()) pool_.run_until(any);
    else if (pools_ == Pools::other) pool_.run_once();
    const auto first =
        std::partition(reads_.begin(), reads_.end(), [&](const auto& r) { return !answered(r); });
    std::vector<std::unique_ptr<Read>> ended(std::make_move_iterator(first),
                                             std::make_move_iterator(reads_.end()));
    reads_.erase(first, reads_.end());
    for (const auto& read : ended) read->request->done(*read->request);
}

}  // namespace thinvol
