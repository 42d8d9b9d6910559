#include "libvm/extents.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinvol {

Result<FreeExtents> FreeExtents::of(const std::vector<PvRow>& pvs,
                                    const std::vector<SegmentRow>& segments) {
    FreeExtents free;
    for (const PvRow& pv : pvs) {
        std::vector<SegmentRow> used;
        std::copy_if(segments.begin(), segments.end(), std::back_inserter(used),
                     [&](const SegmentRow& s) { return s.pv_id == pv.id; });
        std::sort(used.begin(), used.end(),
                  [](const SegmentRow& a, const SegmentRow& b) { return a.pv_start < b.pv_start; });
        Extent next(0);
        for (const SegmentRow& s : used) {
            const Extent end = end_of(pv.extents);
            if (s.pv_start < next || s.pv_start > end || s.length > end - s.pv_start) {
                return Error(
                    Errc::corrupt,
                    fmt::format(
                        "catalog: the segment at extent {} of {} overlaps another or leaves it",
                        s.pv_start, pv.path));
            }
            if (s.pv_start > next && pv.allocatable)
                free.runs_.push_back({pv.id, next, s.pv_start - next});
            next = s.pv_start + s.length;
        }
        if (next < end_of(pv.extents) && pv.allocatable)
            free.runs_.push_back({pv.id, next, end_of(pv.extents) - next});
    }
    return free;
}

Extents FreeExtents::total() const {
    Extents sum(0);
    for (const Placement& run : runs_) sum += run.length;
    return sum;
}

Extents FreeExtents::on(std::int64_t pv_id) const {
    Extents sum(0);
    for (const Placement& run : runs_) sum += run.pv_id == pv_id ? run.length : Extents(0);
    return sum;
}

Result<std::vector<Placement>> FreeExtents::take(Extents wanted,
                                                 const std::vector<std::int64_t>& only,
                                                 const Placement* after) {
    const auto allowed = [&](const Placement& run) {
        return run.length > Extents(0) &&
               (only.empty() || std::find(only.begin(), only.end(), run.pv_id) != only.end());
    };
    Extents available(0);
    for (const Placement& run : runs_) available += allowed(run) ? run.length : Extents(0);
    if (available < wanted) {
        return Error(
            Errc::out_of_space,
            fmt::format("insufficient free space: {} extents needed, but only {} available", wanted,
                        available));
    }
    std::vector<Placement> taken;
    const auto take_from = [&](Placement& run) {
        const Extents n = std::min(run.length, wanted);
        taken.push_back({run.pv_id, run.start, n});
        run.start += n;
        run.length -= n;
        wanted -= n;
    };
    if (after != nullptr) {
        for (Placement& run : runs_) {
            if (allowed(run) && run.pv_id == after->pv_id &&
                run.start == after->start + after->length)
                take_from(run);
        }
    }
    while (wanted > Extents(0)) {
        Placement* best = nullptr;
        for (Placement& run : runs_) {
            if (!allowed(run)) continue;
            const bool holds = run.length >= wanted;
            const bool best_holds = best != nullptr && best->length >= wanted;
            const bool better = best == nullptr ||
                                (holds && (!best_holds || run.length < best->length)) ||
                                (!holds && !best_holds && run.length > best->length);
            if (better) best = &run;
        }
        ASSERT(best != nullptr);
        take_from(*best);
    }
    return taken;
}

Result<Placement> FreeExtents::take_run(Extents wanted, const std::vector<std::int64_t>& only,
                                        const Placement* after) {
    Placement* best = nullptr;
    Extents longest(0);
    for (Placement& run : runs_) {
        const bool allowed =
            only.empty() || std::find(only.begin(), only.end(), run.pv_id) != only.end();
        const bool behind = after == nullptr || (run.pv_id == after->pv_id &&
                                                 run.start == after->start + after->length);
        if (!allowed || !behind) continue;
        longest = std::max(longest, run.length);
        if (run.length >= wanted && (best == nullptr || run.length < best->length)) best = &run;
    }
    if (best == nullptr)
        return Error(Errc::out_of_space,
                     fmt::format("insufficient free space: {} contiguous extents needed, but only "
                                 "{} available",
                                 wanted, longest));
    const Placement taken{best->pv_id, best->start, wanted};
    best->start += wanted;
    best->length -= wanted;
    return taken;
}

}  // namespace thinvol
