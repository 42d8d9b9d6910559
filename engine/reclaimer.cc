#include "engine/reclaimer.h"

#include <algorithm>

#include "engine/thin_metadata.h"

namespace thinvol {

void Reclaimer::add(std::vector<DataBlock> blocks) {
    if (blocks.empty()) return;
    waiting_.push_back({epochs_.barrier(), lanes_.barrier(), std::move(blocks)});
}

void Reclaimer::queue_runs(std::vector<DataBlock> blocks) {
    std::sort(blocks.begin(), blocks.end());
    // One discard stays below 1 GiB, so that it does not hold others up for long.
    const DataBlocks longest(std::max<std::uint64_t>(1, data_block_max.n / data_block_size_.n));
    for (DataBlock b : blocks) {
        const bool joins = !runs_.empty() && runs_.back().first + runs_.back().length == b &&
                           runs_.back().length < longest;
        if (joins) runs_.back().length += DataBlocks(1);
        else runs_.push_back({b, DataBlocks(1)});
    }
}

void Reclaimer::hand_back(ThinMetadata& metadata, const Run& run) {
    known_zero_.came_back(run.first, run.length);
    for (DataBlock b = run.first; b < run.first + run.length; ++b) metadata.hand_back(b);
}

void Reclaimer::start(Punch& punch, const Run& run) {
    punch.run = run;
    punch.busy = true;
    punch.finished = false;
    punch.forgotten = false;
    ++punching_;
    if (allowance_)
        *allowance_ -= static_cast<std::int64_t>(run.length.n * to_bytes(data_block_size_).n);
    punch.request = Request{};
    punch.request.op = Op::discard;
    punch.request.at = Sector(run.first.n * data_block_size_.n);
    punch.request.length = data_block_size_ * run.length.n;
    punch.request.owner = &punch;
    punch.request.done = [](Request& r) { static_cast<Punch*>(r.owner)->finished = true; };
    punch.finished = data_.submit(punch.request);
}

bool Reclaimer::run_once(ThinMetadata& metadata, bool hurry) {
    bool progress = false;
    while (!waiting_.empty() && epochs_.passed(waiting_.front().epoch) &&
           lanes_.passed(waiting_.front().lane_epoch)) {
        queue_runs(std::move(waiting_.front().blocks));
        waiting_.pop_front();
        progress = true;
    }
    for (Punch& punch : punches_) {
        if (punch.busy && punch.finished) {
            if (!punch.forgotten) hand_back(metadata, punch.run);
            punch.busy = false;
            --punching_;
            progress = true;
        }
        if (!punch.busy && !runs_.empty() && passdown_ && !hurry && allowance_.value_or(1) > 0) {
            start(punch, runs_.front());
            runs_.pop_front();
            progress = true;
        }
    }
    if (!passdown_ || hurry) {
        for (const Run& run : runs_) hand_back(metadata, run);
        progress = progress || !runs_.empty();
        runs_.clear();
    }
    return progress;
}

void Reclaimer::allow(Bytes rate, std::chrono::milliseconds passed) {
    if (rate == Bytes(0)) return allowance_.reset();
    const auto second = static_cast<std::int64_t>(rate.n);
    const std::int64_t more = second * std::min<std::int64_t>(passed.count(), 1000) / 1000;
    allowance_ = std::min(allowance_.value_or(0) + more, second);
}

void Reclaimer::forget() {
    waiting_.clear();
    runs_.clear();
    for (Punch& punch : punches_) punch.forgotten = punch.busy;
}

}  // namespace thinvol
