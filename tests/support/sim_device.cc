#include "tests/support/sim_device.h"

#include <algorithm>
#include <cstring>

#include "engine/base/assert.h"

namespace thinvol {

SimDevice::SimDevice(Trace& trace, std::uint32_t number, std::vector<std::byte> image,
                     std::uint64_t seed)
    : trace_(trace), number_(number), image_(std::move(image)), random_(seed) {}

// The event that a power cut right after submit() would know of.
std::size_t SimDevice::begin(const Request& request) {
    if (request.op == Op::read) return 0;
    if (request.op == Op::flush) {
        add_event(Trace::Kind::flush_submitted, trace_.flushes);
        return trace_.flushes++;
    }
    Trace::Write write{number_, to_bytes(request.at).n,
                       std::vector<std::byte>(to_bytes(request.length).n), request.fua};
    if (request.op == Op::write) {
        std::byte* into = write.bytes.data();
        for (const iovec& part : request.data) {
            std::memcpy(into, part.iov_base, part.iov_len);
            into += part.iov_len;
        }
    }
    trace_.writes.push_back(std::move(write));
    add_event(Trace::Kind::write_submitted, trace_.writes.size() - 1);
    return trace_.writes.size() - 1;
}

bool SimDevice::lies(const Request& request) {
    const bool concerned = lie_ == Lie::stale_read
                               ? request.op == Op::read
                               : request.op != Op::read && request.op != Op::flush;
    if (lie_in_ == 0 || !concerned || --lie_in_ > 0) return false;
    lied_ = true;
    return true;
}

void SimDevice::write(std::uint64_t at, std::span<const std::byte> bytes) {
    if (lie_in_ > 0 && lie_ == Lie::stale_read) before_ = image_;
    std::memcpy(image_.data() + at, bytes.data(), bytes.size());
}

void SimDevice::read(const Request& request, const std::vector<std::byte>& image) {
    const std::byte* from = image.data() + to_bytes(request.at).n;
    for (const iovec& part : request.data) {
        std::memcpy(part.iov_base, from, part.iov_len);
        from += part.iov_len;
    }
}

void SimDevice::complete(Request& request, std::size_t subject) {
    if (request.op == Op::flush) return add_event(Trace::Kind::flush_completed, subject);
    const bool lie = lies(request);
    if (request.op == Op::read) {
        const std::uint64_t end = to_bytes(request.at + request.length).n;
        return read(request, lie && before_.size() >= end ? before_ : image_);
    }
    const Trace::Write& done = trace_.writes[subject];
    if (!lie || lie_ != Lie::lost_write) write(done.at, done.bytes);
    if (lie && lie_ == Lie::strayed_write) {
        const std::uint64_t places = (image_.size() - done.bytes.size()) / 4096 + 1;
        write(random_.below(places) * 4096, done.bytes);
    }
    add_event(Trace::Kind::write_completed, subject);
}

bool SimDevice::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome) return true;
    if (fault_) {
        if (auto error = fault_(request)) {
            if (request.op == Op::flush) add_event(Trace::Kind::flush_failed, trace_.flushes++);
            else if (request.op != Op::read && random_.one_in(2)) {  // (3)
                const std::size_t subject = begin(request);
                write(trace_.writes[subject].at, trace_.writes[subject].bytes);
                add_event(Trace::Kind::write_completed, subject);
            }
            request.outcome = std::move(*error);
            return true;
        }
    }
    const std::size_t subject = begin(request);
    if (!held_ && random_.one_in(4)) {
        complete(request, subject);
        return true;
    }
    waiting_.push_back({&request, subject, trace_.requests++});
    return false;
}

Sectors SimDevice::zeroes_at(Sector at, Sectors most) {
    if (random_.one_in(3)) return Sectors(0);
    const auto begin = image_.begin() + static_cast<std::ptrdiff_t>(to_bytes(at).n);
    const auto end = begin + static_cast<std::ptrdiff_t>(to_bytes(most).n);
    const auto data = std::find_if(begin, end, [](std::byte b) { return b != std::byte{0}; });
    return Sectors(static_cast<std::uint64_t>(data - begin) / sector_bytes);
}

void SimDevice::end(std::size_t at) {
    const Waiting ended = waiting_[at];
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(at));
    complete(*ended.request, ended.subject);
    ended.request->done(*ended.request);
}

void SimDevice::poll(bool wait) {
    if (held_) {
        if (wait && !waiting_.empty()) end(waiting_.size() - 1);
        return;
    }
    if (!wait && !random_.one_in(slowness_)) return;
    std::uint64_t n = waiting_.empty() ? 0 : random_.below(waiting_.size() + 1);
    if (wait && n == 0 && !waiting_.empty()) n = 1;
    for (; n > 0; --n) end(static_cast<std::size_t>(random_.below(waiting_.size())));
}

std::vector<std::uint64_t> SimDevice::held() const {
    std::vector<std::uint64_t> numbers;
    for (const Waiting& waiting : waiting_) numbers.push_back(waiting.number);
    return numbers;
}

void SimDevice::let_go(std::uint64_t number) {
    const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Waiting& waiting) { return waiting.number == number; });
    ASSERT(it != waiting_.end());
    end(static_cast<std::size_t>(it - waiting_.begin()));
}

}  // namespace thinvol
