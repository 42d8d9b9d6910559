// minimise: leaves out parts of what fails while it still fails.
//
// Units       attempts
// Invariants  what is returned failed when it was tried
// Errors      none
// Threads     one
// Source      A. Zeller, delta debugging
#pragma once

#include <cstddef>
#include <vector>

namespace thinvol {

template <class Part, class Fails>
std::vector<Part> minimised(std::vector<Part> parts, std::size_t attempts, Fails&& fails) {
    for (std::size_t length = parts.size() / 2; length > 0; length /= 2) {
        for (std::size_t at = 0; at + length <= parts.size();) {
            if (attempts-- == 0) return parts;
            std::vector<Part> fewer(parts.begin(), parts.begin() + static_cast<long>(at));
            fewer.insert(fewer.end(), parts.begin() + static_cast<long>(at + length), parts.end());
            if (fails(fewer)) parts = std::move(fewer);
            else at += length;
        }
    }
    return parts;
}

}  // namespace thinvol
