#include "libvm/nbd_export.h"

#include <algorithm>

namespace thinvol {

void NbdExport::set_policy(NbdPolicy policy) {
    access = std::move(policy.access);
    const auto now = std::chrono::steady_clock::now();
    iops_.set(policy.iops_max, now);
    bandwidth_.set(policy.bandwidth_max, now);
}

void NbdExport::count(const IoRequest& request) {
    switch (request.kind) {
        case IoKind::read: return io.read.add(request.length.n);
        case IoKind::write: return io.write.add(request.length.n);
        case IoKind::flush: return io.flush.add(0);
        case IoKind::discard: return io.trim.add(request.length.n);
        case IoKind::write_zeroes: return io.zero.add(request.length.n);
        case IoKind::status: break;
    }
}

// Zeroes that are written cost what a write does; those that are holes move no bytes.
void NbdExport::charge(const IoRequest& request) {
    iops_.charge(1);
    if (request.kind == IoKind::read || request.kind == IoKind::write ||
        (request.kind == IoKind::write_zeroes && request.keep_allocated))
        bandwidth_.charge(request.length.n);
}

bool NbdExport::must_wait(const IoRequest& request) {
    if (request.kind == IoKind::flush || !(iops_.limited() || bandwidth_.limited() || holds_any()))
        return false;
    if (holds_any() || !ready(std::chrono::steady_clock::now())) return true;
    charge(request);
    return false;
}

std::unique_ptr<NbdRequest> NbdExport::take_held(RateLimit::Time now, bool at_once) {
    if (held_.empty() || !(ready(now) || at_once)) return nullptr;
    auto request = std::move(held_.front());
    held_.pop_front();
    charge(request->io);
    return request;
}

RateLimit::Time NbdExport::ready_at() const {
    return std::max(iops_.ready_at(), bandwidth_.ready_at());
}

std::size_t NbdExport::drop_held(const NbdConnection& connection) {
    return std::erase_if(held_, [&](const auto& held) { return held->connection == &connection; });
}

}  // namespace thinvol
