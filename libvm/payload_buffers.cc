#include "libvm/payload_buffers.h"

#include <algorithm>
#include <bit>
#include <new>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

constexpr std::align_val_t alignment{4096};

}  // namespace

PayloadBuffers::~PayloadBuffers() {
    for (Shelf& shelf : shelves_)
        for (std::byte* bytes : shelf.idle) ::operator delete(bytes, alignment);
}

std::size_t PayloadBuffers::shelf_of(std::size_t capacity) {
    return static_cast<std::size_t>(std::countr_zero(capacity) - std::countr_zero(least));
}

PayloadBuffer PayloadBuffers::take(std::size_t n) {
    const std::size_t capacity = std::bit_ceil(std::max(n, least));
    ASSERT(shelf_of(capacity) < shelves_.size());
    Shelf& shelf = shelves_[shelf_of(capacity)];
    if (shelf.idle.empty())
        return {*this, static_cast<std::byte*>(::operator new(capacity, alignment)), capacity};
    std::byte* bytes = shelf.idle.back();
    shelf.idle.pop_back();
    shelf.unused = std::min(shelf.unused, shelf.idle.size());
    kept_ -= capacity;
    return {*this, bytes, capacity};
}

void PayloadBuffers::give_back(std::byte* bytes, std::size_t capacity) {
    if (kept_ + capacity > kept_max) return ::operator delete(bytes, alignment);
    shelves_[shelf_of(capacity)].idle.push_back(bytes);
    kept_ += capacity;
}

void PayloadBuffers::tick() {
    for (std::size_t i = 0; i < shelves_.size(); ++i) {
        Shelf& shelf = shelves_[i];
        for (; shelf.unused > 0; --shelf.unused) {
            ::operator delete(shelf.idle.back(), alignment);
            shelf.idle.pop_back();
            kept_ -= least << i;
        }
        shelf.unused = shelf.idle.size();
    }
}

}  // namespace thinvol
