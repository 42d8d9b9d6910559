// ReferenceTally: how often each block of a device was counted, for whoever makes a space map anew.
//
// Units       blocks
// Invariants  memory only for those parts of the device in which something was counted
// Errors      none; the caller has checked that blocks lie on the device
// Threads     one
// Source      none
#pragma once

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/format.h"

namespace thinvol {

class ReferenceTally {
public:
    // What one bitmap block stands for.
    using Page = std::array<std::uint8_t, entries_per_bitmap>;
    static constexpr std::uint8_t in_more = 255;

    void add(std::uint64_t block, std::uint64_t length) {
        while (length > 0) {
            Page& page = at(block / entries_per_bitmap);
            const std::uint64_t from = block % entries_per_bitmap;
            const std::uint64_t n = std::min(length, entries_per_bitmap - from);
            for (std::uint64_t i = from; i < from + n; ++i) {
                if (page[i] != in_more) [[likely]]
                    ++page[i];
                else ++more_[block - from + i];
            }
            block += n;
            length -= n;
        }
    }
    void remove(std::uint64_t block) {
        std::uint8_t& count = at(block / entries_per_bitmap)[block % entries_per_bitmap];
        const auto more = count == in_more ? more_.find(block) : more_.end();
        if (more != more_.end() && more->second > 0) --more->second;
        else --count;
    }
    // Null: nothing was counted there.
    const Page* page(std::uint64_t bitmap) const {
        return bitmap < pages_.size() ? pages_[bitmap].get() : nullptr;
    }
    // In full, for an entry that says in_more.
    std::uint32_t count_of_more(std::uint64_t block) const {
        const auto found = more_.find(block);
        return in_more + (found == more_.end() ? 0 : found->second);
    }

private:
    Page& at(std::uint64_t bitmap) {
        if (bitmap >= pages_.size()) pages_.resize(std::max(bitmap + 1, pages_.size() * 2));
        if (!pages_[bitmap]) pages_[bitmap] = std::make_unique<Page>();
        return *pages_[bitmap];
    }

    std::vector<std::unique_ptr<Page>> pages_;
    std::unordered_map<std::uint64_t, std::uint32_t> more_;
};

}  // namespace thinvol
