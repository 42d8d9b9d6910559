// BlockTally: how often each block of a device was referenced, counted by several workers.
//
// Units       blocks; pages of as many as a bitmap block stands for
// Invariants  memory only for pages in which something was counted: a byte for each of their blocks
// Errors      none; the caller has checked that blocks lie on the device
// Threads     add() on several at once; the rest afterwards
// Source      none
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/format.h"

namespace thinvol {

class BlockTally {
public:
    explicit BlockTally(std::uint64_t blocks) : pages_(blocks / entries_per_bitmap + 1) {}
    ~BlockTally() {
        for (auto& page : pages_) delete page.load();
    }
    BlockTally(const BlockTally&) = delete;
    BlockTally& operator=(const BlockTally&) = delete;

    void add(std::uint64_t b) {
        Page* page = pages_[b / entries_per_bitmap].load(std::memory_order_acquire);
        if (page == nullptr) page = new_page(b / entries_per_bitmap);
        if ((*page)[b % entries_per_bitmap].fetch_add(1, std::memory_order_relaxed) != 255) return;
        const std::lock_guard lock(rare_);
        more_[b] += 256;  // the byte began anew
    }
    bool any(std::uint64_t page) const { return pages_[page].load() != nullptr; }
    std::uint64_t of(std::uint64_t b) const {
        const Page* page = pages_[b / entries_per_bitmap].load(std::memory_order_relaxed);
        if (page == nullptr) return 0;
        const std::uint64_t low = (*page)[b % entries_per_bitmap].load(std::memory_order_relaxed);
        if (more_.empty()) return low;
        const auto more = more_.find(b);
        return low + (more == more_.end() ? 0 : more->second);
    }

private:
    using Page = std::array<std::atomic<std::uint8_t>, entries_per_bitmap>;
    Page* new_page(std::uint64_t i) {
        const std::lock_guard lock(rare_);
        if (pages_[i].load() == nullptr) pages_[i].store(new Page{}, std::memory_order_release);
        return pages_[i].load();
    }

    std::vector<std::atomic<Page*>> pages_;
    std::mutex rare_;
    std::unordered_map<std::uint64_t, std::uint64_t> more_;
};

}  // namespace thinvol
