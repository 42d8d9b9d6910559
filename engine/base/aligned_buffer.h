// AlignedBuffer: memory aligned as O_DIRECT wants it.
//
// Units       bytes
// Invariants  none
// Errors      none
// Threads     any; one owner
// Source      open(2)
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace thinvol {

class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t size)
        : bytes_(static_cast<std::byte*>(::operator new(size, alignment))), size_(size) {}

    std::byte* bytes() const { return bytes_.get(); }
    std::size_t size() const { return size_; }
    std::span<std::byte> first(std::size_t n) const { return {bytes_.get(), n}; }

private:
    static constexpr std::align_val_t alignment{4096};
    struct Free {
        void operator()(std::byte* bytes) const { ::operator delete(bytes, alignment); }
    };
    std::unique_ptr<std::byte, Free> bytes_;
    std::size_t size_ = 0;
};

}  // namespace thinvol
