#include "tests/support/sim_device.h"

#include <algorithm>
#include <cstring>

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

void SimDevice::complete(Request& request, std::size_t subject) {
    if (request.op == Op::flush) return add_event(Trace::Kind::flush_completed, subject);
    if (request.op == Op::read) {
        const std::byte* from = image_.data() + to_bytes(request.at).n;
        for (const iovec& part : request.data) {
            std::memcpy(part.iov_base, from, part.iov_len);
            from += part.iov_len;
        }
        return;
    }
    const Trace::Write& write = trace_.writes[subject];
    std::memcpy(image_.data() + write.at, write.bytes.data(), write.bytes.size());
    add_event(Trace::Kind::write_completed, subject);
}

bool SimDevice::submit(Request& request) {
    request.outcome = check_range(*this, request);
    if (!request.outcome) return true;
    if (fault_) {
        if (auto error = fault_(request)) {
            if (request.op == Op::flush) add_event(Trace::Kind::flush_failed, trace_.flushes++);
            request.outcome = std::move(*error);
            return true;
        }
    }
    const std::size_t subject = begin(request);
    if (random_.one_in(4)) {
        complete(request, subject);
        return true;
    }
    waiting_.push_back({&request, subject});
    return false;
}

Sectors SimDevice::zeroes_at(Sector at, Sectors most) {
    if (random_.one_in(3)) return Sectors(0);
    const auto begin = image_.begin() + static_cast<std::ptrdiff_t>(to_bytes(at).n);
    const auto end = begin + static_cast<std::ptrdiff_t>(to_bytes(most).n);
    const auto data = std::find_if(begin, end, [](std::byte b) { return b != std::byte{0}; });
    return Sectors(static_cast<std::uint64_t>(data - begin) / sector_bytes);
}

void SimDevice::poll(bool wait) {
    if (!wait && !random_.one_in(slowness_)) return;
    std::uint64_t n = waiting_.empty() ? 0 : random_.below(waiting_.size() + 1);
    if (wait && n == 0 && !waiting_.empty()) n = 1;
    for (; n > 0; --n) {
        const auto at = static_cast<std::ptrdiff_t>(random_.below(waiting_.size()));
        const Waiting ended = waiting_[static_cast<std::size_t>(at)];
        waiting_.erase(waiting_.begin() + at);
        complete(*ended.request, ended.subject);
        ended.request->done(*ended.request);
    }
}

CrashImages::CrashImages(const Trace& trace, std::vector<std::vector<std::byte>> initial)
    : trace_(trace), durable_(std::move(initial)) {}

void CrashImages::apply(std::vector<std::vector<std::byte>>& images, std::size_t write) const {
    const Trace::Write& w = trace_.writes[write];
    auto& image = images[w.device];
    if (image.size() < w.at + w.bytes.size()) image.resize(w.at + w.bytes.size());
    std::memcpy(image.data() + w.at, w.bytes.data(), w.bytes.size());
}

void CrashImages::step() {
    const Trace::Event event = trace_.events[position_++];
    const auto make_durable = [&](std::size_t write) {
        const auto it = std::find_if(pending_.begin(), pending_.end(),
                                     [&](const Pending& p) { return p.write == write; });
        if (it == pending_.end()) return;
        apply(durable_, write);
        pending_.erase(it);
    };
    switch (event.kind) {
        case Trace::Kind::write_submitted: pending_.push_back({event.subject}); break;
        case Trace::Kind::write_completed:
            if (trace_.writes[event.subject].fua) return make_durable(event.subject);
            for (Pending& p : pending_) p.completed = p.completed || p.write == event.subject;
            break;
        case Trace::Kind::flush_submitted:
            covered_by_.resize(std::max(covered_by_.size(), event.subject + 1));
            for (const Pending& p : pending_) {
                if (p.completed && !p.given_up && trace_.writes[p.write].device == event.device)
                    covered_by_[event.subject].push_back(p.write);
            }
            break;
        case Trace::Kind::flush_completed:
            for (std::size_t write : covered_by_[event.subject]) make_durable(write);
            break;
        case Trace::Kind::flush_failed:
            for (Pending& p : pending_)
                p.given_up =
                    p.given_up || (p.completed && trace_.writes[p.write].device == event.device);
            break;
        case Trace::Kind::note: break;
    }
}

std::vector<std::vector<std::byte>> CrashImages::cut(CrashPolicy policy, Random& random,
                                                     std::uint32_t favoured) const {
    auto images = durable_;
    const std::uint64_t n = pending_.size();
    const std::uint64_t chosen = n == 0 ? 0 : random.below(n);
    for (std::size_t i = 0; i < n; ++i) {
        const Trace::Write& write = trace_.writes[pending_[i].write];
        bool survives = false;
        switch (policy) {
            case CrashPolicy::none: break;
            case CrashPolicy::all: survives = true; break;
            case CrashPolicy::prefix: survives = i <= chosen; break;
            case CrashPolicy::all_but_one: survives = i != chosen; break;
            case CrashPolicy::only_one: survives = i == chosen; break;
            case CrashPolicy::random: survives = random.one_in(2); break;
            case CrashPolicy::device_order: survives = write.device == favoured; break;
            case CrashPolicy::torn: {
                auto& image = images[write.device];
                if (image.size() < write.at + write.bytes.size())
                    image.resize(write.at + write.bytes.size());
                for (std::size_t s = 0; s < write.bytes.size(); s += sector_bytes) {
                    if (random.one_in(2))
                        std::memcpy(image.data() + write.at + s, write.bytes.data() + s,
                                    sector_bytes);
                }
                break;
            }
        }
        if (survives) apply(images, pending_[i].write);
    }
    return images;
}

}  // namespace thinvol
