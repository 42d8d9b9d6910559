// SparseQueue: a device in memory of any size, of which only what is not zero takes memory.
//
// Units       sectors
// Invariants  none beyond BlockQueue's
// Errors      only out-of-range requests
// Threads     one
// Source      none
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "engine/block_queue.h"

namespace thinvol {

class SparseQueue : public BlockQueue {
public:
    explicit SparseQueue(Sectors size) : size_(size) {}
    Sectors size() const override { return size_; }
    Sectors granule() const override { return Sectors(1); }
    void poll(bool) override {}
    std::size_t in_flight() const override { return 0; }
    void grow(Sectors size) { size_ = size; }

    bool submit(Request& request) override {
        request.outcome = check_range(*this, request);
        if (!request.outcome) return true;
        Sector at = request.at;
        if (request.op == Op::discard || request.op == Op::write_zeroes) {
            std::erase_if(pages_, [&](const auto& page) {
                return page.first >= at.n && page.first < at.n + request.length.n;
            });
        }
        for (const iovec& part : request.data) {
            auto* bytes = static_cast<std::byte*>(part.iov_base);
            for (std::size_t done = 0; done < part.iov_len; done += sector_bytes, at.n += 1) {
                if (request.op == Op::write)
                    std::memcpy(pages_[at.n].data(), bytes + done, sector_bytes);
                else read(at.n, bytes + done);
            }
        }
        return true;
    }

private:
    void read(std::uint64_t sector, std::byte* into) const {
        const auto page = pages_.find(sector);
        if (page == pages_.end()) std::memset(into, 0, sector_bytes);
        else std::memcpy(into, page->second.data(), sector_bytes);
    }
    Sectors size_;
    std::unordered_map<std::uint64_t, std::array<std::byte, sector_bytes>> pages_;
};

}  // namespace thinvol
