#include "engine/committer.h"

namespace thinvol {

void Committer::start(ThinMetadata& metadata) {
    ASSERT(idle());
    ASSERT(metadata.changed());
    auto sealed = metadata.seal();
    if (!sealed) return fail(std::move(sealed).error());
    commit_ = std::move(*sealed);
    data_flush_ = flusher_.request();  // C2: after the seal
    state_ = State::writing;
    submit_blocks();
}

void Committer::submit(Request& request) {
    request.owner = this;
    request.done = [](Request& r) {
        auto& self = *static_cast<Committer*>(r.owner);
        --self.pending_;
        if (!r.outcome && !self.step_error_) self.step_error_ = r.outcome.error();
    };
    ++pending_;
    if (device_.submit(request)) request.done(request);
}

// Neighbouring blocks go out in one request.
void Committer::submit_blocks() {
    constexpr std::size_t blocks_per_request = 64;
    ASSERT(writes_.empty());
    for (Frame* frame : commit_->frames) {
        const bool joins =
            !writes_.empty() && writes_.back()->parts.size() < blocks_per_request &&
            writes_.back()->request.at + writes_.back()->request.length == to_sector(frame->at);
        if (!joins) {
            writes_.push_back(std::make_unique<BlockWrite>());
            writes_.back()->request.op = Op::write;
            writes_.back()->request.at = to_sector(frame->at);
        }
        writes_.back()->parts.push_back({frame->bytes, metadata_block_bytes});
        writes_.back()->request.length += to_sectors(Bytes(metadata_block_bytes));
    }
    for (auto& write : writes_) {
        write->request.data = write->parts;
        submit(write->request);
    }
}

void Committer::submit_flush() {
    flush_ = Request{};
    flush_.op = Op::flush;
    submit(flush_);
}

void Committer::submit_superblock() {
    superblock_bytes_ = commit_->superblock;
    superblock_part_ = {superblock_bytes_.data(), superblock_bytes_.size()};
    flush_ = Request{};
    flush_.op = Op::write;
    flush_.fua = true;  // written and flushed in one
    flush_.at = Sector(0);
    flush_.length = to_sectors(Bytes(metadata_block_bytes));
    flush_.data = {&superblock_part_, 1};
    submit(flush_);
}

bool Committer::run_once(ThinMetadata& metadata) {
    if (state_ == State::idle || state_ == State::failed) return false;
    if (state_ != State::draining && flusher_.failed() && !step_error_)
        step_error_ = flusher_.error();
    if (step_error_) {
        fail(*std::exchange(step_error_, std::nullopt));
    }
    if (pending_ > 0) return false;
    switch (state_) {
        case State::writing:
            state_ = State::flushing;
            submit_flush();
            return true;
        case State::flushing:
            if (!flusher_.done(data_flush_)) return false;
            state_ = State::superblock;  // C1: both flushes are done
            submit_superblock();
            return true;
        case State::superblock:
            state_ = State::idle;
            retired_ = metadata.settle(*commit_);
            commit_.reset();
            writes_.clear();
            ++commits_;
            return true;
        case State::draining: state_ = State::failed; return true;
        case State::idle:
        case State::failed: break;
    }
    return false;
}

void Committer::fail(Error error) {
    error_ = std::move(error).prefixed("commit");
    state_ = State::draining;
}

void Committer::reset() {
    ASSERT(failed());
    ASSERT(pending_ == 0);
    commit_.reset();
    writes_.clear();
    retired_.clear();
    error_.reset();
    state_ = State::idle;
}

}  // namespace thinvol
