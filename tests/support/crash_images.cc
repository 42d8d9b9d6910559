#include "tests/support/crash_images.h"

#include <algorithm>
#include <cstring>

#include "engine/base/crc32c.h"

namespace thinvol {

const char* name_of(CrashPolicy policy) {
    switch (policy) {
        case CrashPolicy::none: return "none";
        case CrashPolicy::all: return "all";
        case CrashPolicy::prefix: return "prefix";
        case CrashPolicy::all_but_one: return "all but one";
        case CrashPolicy::only_one: return "only one";
        case CrashPolicy::random: return "random";
        case CrashPolicy::torn: return "torn";
        case CrashPolicy::device_order: return "device order";
    }
    return "";
}

CrashImages::CrashImages(const Trace& trace, Images initial)
    : trace_(trace), images_(std::move(initial)) {
    for (std::size_t device = 0; device < images_.size(); ++device) {
        for (std::size_t s = 0; s < images_[device].size() / sector_bytes; ++s)
            identity_ ^= sector_identity(device, s);
    }
}

std::uint64_t CrashImages::sector_identity(std::size_t device, std::size_t sector) const {
    const std::byte* at = images_[device].data() + sector * sector_bytes;
    std::uint64_t mixed = crc32c(std::span(at, sector_bytes)) ^ (device << 48 | sector << 32);
    mixed = (mixed ^ mixed >> 31) * 0x9e3779b97f4a7c15ULL;
    return (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ULL;
}

void CrashImages::apply(const Piece& piece) {
    const Trace::Write& write = trace_.writes[piece.write];
    auto& image = images_[write.device];
    const std::uint64_t begin = write.at + piece.from;
    const std::uint64_t end = write.at + piece.to;
    if (image.size() < end) image.resize(end);
    // A catalog's pages need not be whole sectors; the rest of the last one counts with it.
    const std::uint64_t last =
        std::min<std::uint64_t>(divide_up(end, sector_bytes), image.size() / sector_bytes);
    for (std::uint64_t s = begin / sector_bytes; s < last; ++s)
        identity_ ^= sector_identity(write.device, s);
    std::memcpy(image.data() + begin, write.bytes.data() + piece.from, piece.to - piece.from);
    for (std::uint64_t s = begin / sector_bytes; s < last; ++s)
        identity_ ^= sector_identity(write.device, s);
}

void CrashImages::make_durable(std::size_t write) {
    const auto it = std::find_if(pending_.begin(), pending_.end(),
                                 [&](const Pending& p) { return p.write == write; });
    if (it == pending_.end()) return;
    apply({write, 0, trace_.writes[write].bytes.size()});
    pending_.erase(it);
}

void CrashImages::note_flush(const Trace::Event& event) {
    covered_by_.resize(std::max(covered_by_.size(), event.subject + 1));
    for (const Pending& p : pending_) {
        if (p.completed && !p.given_up && trace_.writes[p.write].device == event.device)
            covered_by_[event.subject].push_back(p.write);
    }
}

void CrashImages::step() {
    const Trace::Event event = trace_.events[position_++];
    switch (event.kind) {
        case Trace::Kind::write_submitted: pending_.push_back({event.subject}); break;
        case Trace::Kind::write_completed:
            if (trace_.writes[event.subject].fua) return make_durable(event.subject);
            for (Pending& p : pending_) p.completed = p.completed || p.write == event.subject;
            break;
        case Trace::Kind::flush_submitted: note_flush(event); break;
        case Trace::Kind::flush_completed:
            for (std::size_t write : covered_by_[event.subject]) make_durable(write);
            break;
        case Trace::Kind::flush_failed:
            for (Pending& p : pending_)
                p.given_up =
                    p.given_up || (p.completed && trace_.writes[p.write].device == event.device);
            break;
        case Trace::Kind::note: ++notes_; break;
    }
}

bool CrashImages::step_to_boundary() {
    const auto changes = [&] {
        const Trace::Event& next = trace_.events[position_];
        return next.kind == Trace::Kind::write_submitted ||
               next.kind == Trace::Kind::flush_completed ||
               (next.kind == Trace::Kind::write_completed && trace_.writes[next.subject].fua);
    };
    if (at_end()) return false;
    do {
        step();
    } while (!at_end() && !changes());
    return true;
}

CrashImages::Cut CrashImages::choose(CrashPolicy policy, Random& random,
                                     std::uint32_t favoured) const {
    Cut cut;
    const std::uint64_t n = pending_.size();
    const std::uint64_t chosen = n == 0 ? 0 : random.below(n);
    for (std::size_t i = 0; i < n; ++i) {
        const Trace::Write& write = pending_write(i);
        bool survives = false;
        switch (policy) {
            case CrashPolicy::none: break;
            case CrashPolicy::all: survives = true; break;
            case CrashPolicy::prefix: survives = i <= chosen; break;
            case CrashPolicy::all_but_one: survives = i != chosen; break;
            case CrashPolicy::only_one: survives = i == chosen; break;
            case CrashPolicy::random: survives = random.one_in(2); break;
            case CrashPolicy::device_order: survives = write.device == favoured; break;
            case CrashPolicy::torn:
                for (std::size_t s = 0; s < write.bytes.size(); s += sector_bytes) {
                    if (random.one_in(2))
                        cut.push_back(piece(i, s, std::min(s + sector_bytes, write.bytes.size())));
                }
                break;
        }
        if (survives) cut.push_back(piece(i));
    }
    return cut;
}

CrashImages::Images CrashImages::cut(CrashPolicy policy, Random& random,
                                     std::uint32_t favoured) const {
    Images images = images_;
    for (const Piece& piece : choose(policy, random, favoured)) {
        const Trace::Write& write = trace_.writes[piece.write];
        auto& image = images[write.device];
        if (image.size() < write.at + piece.to) image.resize(write.at + piece.to);
        std::memcpy(image.data() + write.at + piece.from, write.bytes.data() + piece.from,
                    piece.to - piece.from);
    }
    return images;
}

void CrashImages::with(const Cut& cut,
                       const std::function<void(Images&, std::uint64_t identity)>& look) {
    struct Undo {
        std::size_t device;
        std::size_t size;
        std::uint64_t at;
        std::vector<std::byte> bytes;
    };
    std::vector<Undo> undo;
    const std::uint64_t identity = identity_;
    for (const Piece& piece : cut) {
        const Trace::Write& write = trace_.writes[piece.write];
        auto& image = images_[write.device];
        Undo old{write.device, image.size(), write.at + piece.from, {}};
        if (image.size() < write.at + piece.to) image.resize(write.at + piece.to);
        const auto begin = image.begin() + static_cast<std::ptrdiff_t>(old.at);
        old.bytes.assign(begin, begin + static_cast<std::ptrdiff_t>(piece.to - piece.from));
        undo.push_back(std::move(old));
        apply(piece);
    }
    look(images_, identity_);
    while (!undo.empty()) {
        const Undo& old = undo.back();
        auto& image = images_[old.device];
        std::copy(old.bytes.begin(), old.bytes.end(),
                  image.begin() + static_cast<std::ptrdiff_t>(old.at));
        image.resize(old.size);
        undo.pop_back();
    }
    identity_ = identity;
}

}  // namespace thinvol
