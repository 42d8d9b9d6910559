#include "libvm/nbd_export.h"

#include <algorithm>

namespace thinvol {

void NbdExport::set_policy(NbdPolicy policy) {
    access = std::move(policy.access);
    const auto now = std::chrono::steady_clock::now();
    const std::scoped_lock lock(mutex_);
    iops_.set(policy.iops_max, now);
    bandwidth_.set(policy.bandwidth_max, now);
    limited_ = iops_.limited() || bandwidth_.limited();
}

void NbdExport::count(const IoRequest& request, std::size_t thread) {
    VolumeCounters& counters = counters_[thread];
    switch (request.kind) {
        case IoKind::read: return counters.read.add(request.length.n);
        case IoKind::write: return counters.write.add(request.length.n);
        case IoKind::flush: return counters.flush.add(0);
        case IoKind::discard: return counters.trim.add(request.length.n);
        case IoKind::write_zeroes: return counters.zero.add(request.length.n);
        case IoKind::status: break;
    }
}

VolumeIo NbdExport::io() const {
    VolumeIo sum;
    for (const VolumeCounters& counters : counters_) counters.add_to(sum);
    return sum;
}

// Zeroes that are written cost what a write does; those that are holes move no bytes.
void NbdExport::charge(const IoRequest& request) {
    iops_.charge(1);
    if (request.kind == IoKind::read || request.kind == IoKind::write ||
        (request.kind == IoKind::write_zeroes && request.keep_allocated))
        bandwidth_.charge(request.length.n);
}

bool NbdExport::must_wait(const IoRequest& request, bool others) {
    if (request.kind == IoKind::flush) return false;
    if (others || !limited_) return others;
    return !may_start(request, std::chrono::steady_clock::now(), false);
}

bool NbdExport::may_start(const IoRequest& request, RateLimit::Time now, bool at_once) {
    const std::scoped_lock lock(mutex_);
    if (!(ready(now) || at_once)) return false;
    charge(request);
    return true;
}

RateLimit::Time NbdExport::ready_at() const {
    const std::scoped_lock lock(mutex_);
    return std::max(iops_.ready_at(), bandwidth_.ready_at());
}

}  // namespace thinvol
