// DataFlusher: one flush of the data device at a time, shared by all who wait for one.
//
// Units       tickets, counted from 1
// Invariants  (C3) done(request()) only when a flush that was submitted after request() has
//             succeeded (C8) after a failure nothing is ever done again
// Errors      failed(), for good
// Threads     the shard's
// Source      group commit, as databases do it
#pragma once

#include <optional>

#include "engine/block_queue.h"

namespace thinvol {

class DataFlusher {
public:
    explicit DataFlusher(BlockQueue& data) : data_(data) {}

    // The flush that covers everything written so far: the next one to start.
    std::uint64_t request() {
        wanted_ = started_ + 1;
        return wanted_;
    }
    bool done(std::uint64_t ticket) const { return completed_ >= ticket; }
    bool failed() const { return error_.has_value(); }
    const Error& error() const { return *error_; }
    bool idle() const { return !running_; }

    // Starts a flush that was asked for, and takes in one that ended. True if anything happened.
    bool run_once() {
        bool progress = false;
        if (running_ && finished_) {
            running_ = false;
            progress = true;
            if (request_.outcome) completed_ = started_;
            else error_ = request_.outcome.error();
        }
        if (!running_ && !failed() && wanted_ > started_) {
            ++started_;
            running_ = true;
            finished_ = false;
            progress = true;
            request_ = Request{};
            request_.op = Op::flush;
            request_.owner = this;
            request_.done = [](Request& r) {
                static_cast<DataFlusher*>(r.owner)->finished_ = true;
            };
            finished_ = data_.submit(request_);
        }
        return progress;
    }

private:
    BlockQueue& data_;
    Request request_;
    bool running_ = false;
    bool finished_ = false;
    std::uint64_t wanted_ = 0;
    std::uint64_t started_ = 0;
    std::uint64_t completed_ = 0;
    std::optional<Error> error_;
};

}  // namespace thinvol
